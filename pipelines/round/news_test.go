package round

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/runners/workflow"
	"github.com/quire-ml/quire/transforms/vocab"
)

// TestNews holds the JSON of each event, and the rounds that are no news.
func TestNews(t *testing.T) {
	c := &configs.Config{Name: "mine", Workdir: "work"}
	loss := value("evaluate", "evaluation", `{"nats_per_char":1.25}`)
	promoted, decided := value("promote", "promotion", `{"checkpoint":"runs/a/best"}`), value("jury", "decision", `{"passed":false}`)
	skipped, skippedDecision, none := promoted, decided, value("promote", "promotion", `{"checkpoint":""}`)
	skipped.Action, skippedDecision.Action = workflow.ActionSkip, workflow.ActionSkip
	no := fmt.Errorf("round: %w: too bad", gate.ErrRefused)
	broken := &workflow.Failure{Stage: "train", Class: "transient", Message: "short"}
	for name, c2 := range map[string]struct {
		stages []workflow.StageRecord
		error  *workflow.Failure
		failed error
		want   string
	}{
		"promoted": {stages: []workflow.StageRecord{loss, promoted},
			want: `{"event":"promoted","experiment":"mine","round":"r","checkpoint":"work/runs/a/best","nats_per_char":1.25}`},
		"promoted before": {stages: []workflow.StageRecord{loss, skipped}, want: "null"},
		"not promoted":    {stages: []workflow.StageRecord{loss, none}, want: "null"},
		"without promote": {stages: []workflow.StageRecord{loss}, want: "null"},
		"refused": {stages: []workflow.StageRecord{loss, decided}, failed: no,
			want: `{"event":"refused","experiment":"mine","round":"r","stage":"jury","class":"refused","message":"` + no.Error() + `","nats_per_char":1.25}`},
		"refused before": {stages: []workflow.StageRecord{loss, skippedDecision}, failed: no, want: "null"},
		"failed": {error: broken, failed: errors.New("long"),
			want: `{"event":"failed","experiment":"mine","round":"r","stage":"train","class":"transient","message":"long"}`},
		"interrupted":      {failed: train.ErrInterrupted, want: "null"},
		"cancelled":        {failed: fmt.Errorf("prep: %w", context.Canceled), want: "null"},
		"a wrong choice":   {failed: workflow.SelectionError{}, want: "null"},
		"failed in no one": {failed: errors.New("disk"), want: `{"event":"failed","experiment":"mine","round":"r","message":"disk"}`},
	} {
		got, err := json.Marshal(news(c, &workflow.Record{Round: "r", Stages: c2.stages, Error: c2.error}, c2.failed))
		if err != nil || string(got) != c2.want {
			t.Errorf("%s: the news are\n%s, %v, want\n%s", name, got, err, c2.want)
		}
	}
	if n := news(c, nil, errors.New("disk")); n == nil || n.Round != "" || n.Event != "failed" {
		t.Errorf("without a record the news are %+v", n)
	}
}

// TestMessage: an error says once what to do, also where it has come by the scheduler.
func TestMessage(t *testing.T) {
	o, broken := Options{Remedy: func(error) string { return "; mend it" }}, errors.New("it is broken")
	for err, want := range map[error]string{
		broken: "it is broken; mend it", fmt.Errorf("a: %w", broken): "a: it is broken; mend it",
		fmt.Errorf("schedule: %w", &explained{broken, o.message(broken)}): "schedule: it is broken; mend it",
	} {
		if got := o.message(err); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := (Options{}).message(broken); got != "it is broken" {
		t.Errorf("without remedies: %q", got)
	}
}

func TestClass(t *testing.T) {
	for want, err := range map[string]error{
		"refused":     fmt.Errorf("x: %w", gate.ErrRefused),
		"interrupted": fmt.Errorf("x: %w", train.ErrInterrupted),
		"user":        fmt.Errorf("x: %w", &vocab.CharError{}),
		"":            errors.New("x"),
	} {
		if got := class(err); got != want {
			t.Errorf("the class of %v is %q, want %q", err, got, want)
		}
	}
	if got := class(&configs.Error{}); got != "user" {
		t.Errorf("the class of an error of the config is %q", got)
	}
}
