package workflow_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// A pipeline of two stages. The second round repeats the stage whose config has
// changed, and skips the other.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "workflow")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	st, err := store.Open(ctx, dir)
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	const verse, shout workflow.Artifact[string] = "verse", "shout"
	type config struct {
		Mark string `json:"mark"`
	}
	for _, mark := range []string{"!", "?!"} {
		p, err := workflow.New(
			workflow.Stage[any, string]{Name: "write", Version: 1, Artifact: verse,
				Run: func(context.Context, any, *workflow.Task) (workflow.Product[string], error) {
					return workflow.Product[string]{Value: "to be"}, nil
				}},
			workflow.Stage[config, string]{Name: "shout", Version: 1, Config: config{mark}, Inputs: []workflow.Input{verse}, Artifact: shout,
				Run: func(_ context.Context, c config, task *workflow.Task) (out workflow.Product[string], err error) {
					text, err := verse.Of(task)
					out.Value = strings.ToUpper(text) + c.Mark
					return out, err
				}})
		if err != nil {
			log.Fatal(err)
		}
		record, err := p.Run(ctx, st, workflow.Options{})
		if err != nil {
			log.Fatal(err)
		}
		for _, s := range record.Stages {
			fmt.Printf("%s %s: %s (%s)\n", s.Action, s.Name, s.Value, strings.Join(s.Reasons, "; "))
		}
	}
	// Output:
	// run write: "to be" (no earlier result)
	// run shout: "TO BE!" (no earlier result)
	// skip write: "to be" (inputs, settings and code are as before)
	// run shout: "TO BE?!" (mark: "!" → "?!")
}
