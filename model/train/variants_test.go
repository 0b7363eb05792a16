package train_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/train"
)

// trainings are models whose widths are no multiple of a vector's, and one whose
// widths are.
var trainings = []rnn.Shape{
	{Cell: rnn.GRU, Layers: 2, Vocabulary: testV, Embedding: 7, Hidden: 33},
	{Cell: rnn.LSTM, Layers: 2, Vocabulary: testV, Embedding: 5, Hidden: 50},
	{Cell: rnn.GRU, Layers: 1, Vocabulary: testV, Embedding: 16, Hidden: 256},
}

// childMark starts the line on which the child of TestVariantsTrainAlike says
// the sha256 of its checkpoints, and of losses.
const childMark = "checkpoints: "

// TestVariantsTrainAlike trains 20 steps in a process for every variant and number
// of threads, and demands the same checkpoints, and the same losses of windows and of a model that
// learns from a text that it reads.
func TestVariantsTrainAlike(t *testing.T) {
	if os.Getenv("GO_TEST_TRAIN_CHILD") != "" {
		trainChild(t)
		return
	}
	want, ran := "", 0
	for _, variant := range []string{"generic", "avx2", "avx512", "neon"} {
		for _, procs := range []int{1, 2, 3, 8} {
			cmd := exec.Command(os.Args[0], "-test.run=^TestVariantsTrainAlike$", "-test.v")
			cmd.Env = append(os.Environ(), "GO_TEST_TRAIN_CHILD=1", "QUIRE_VARIANT="+variant, fmt.Sprintf("GOMAXPROCS=%d", procs))
			out, err := cmd.CombinedOutput()
			if strings.Contains(string(out), "this processor or build lacks") {
				t.Logf("%s: not here: %s", variant, firstLine(string(out)))
				break
			}
			_, line, ok := strings.Cut(string(out), childMark)
			if err != nil || !ok {
				t.Fatalf("%s, GOMAXPROCS %d: %v\n%s", variant, procs, err, out)
			}
			got := firstLine(line)
			if want == "" {
				want = got
			}
			if got != want {
				t.Errorf("%s, GOMAXPROCS %d: checkpoints %s, want %s", variant, procs, got, want)
			}
			ran++
		}
	}
	if ran < 4 {
		t.Errorf("%d trainings compared, want 4 a variant", ran)
	}
	t.Logf("%d trainings agree", ran)
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

func trainChild(t *testing.T) {
	if _, err := kernel.Variant(); err != nil {
		t.Log(err)
		return
	}
	var sums []string
	for _, shape := range trainings {
		o := options()
		o.Shape, o.MaxSteps, o.Epochs, o.Clip = shape, 20, 100, 0.5
		o.Identity.Cell = string(shape.Cell)
		st := newStore(t)
		mustRun(t, st, o, nil)
		sums = append(sums, pointerOf(t, st, "latest").SHA256)

		o.Epochs, o.Hidden, o.Average, o.Dropout = 3, train.Carry, 0.9, 0.2
		o.Curriculum = train.Curriculum{SeqLength: 3, Epochs: 1, Sampling: 1}
		st = newStore(t)
		if _, err := runIn(t.Context(), st, trainNovel(), validationNovel(), o, nil); err != nil {
			t.Fatal(err)
		}
		p := pointerOf(t, st, "latest")
		sums = append(sums, fmt.Sprint(p.SHA256, *p.Loss), adaptiveSum(t, shape), windowSum(t, shape))
	}
	fmt.Println(childMark + strings.Join(sums, " "))
}

// TestStepAllocates demands that the allocations of a step after the first are
// those of the tape machine: a few values for each instruction, whatever the
// model's size.
func TestStepAllocates(t *testing.T) {
	count := func(hidden int) float64 {
		w := rnn.NewWeights(rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: testV, Embedding: 8, Hidden: hidden})
		w.Init(1)
		trainer, err := train.NewTrainer(w, testL, 4, 0.01, &train.TrainerOptions{Clip: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.Close()
		batch := make([]int32, 4*(testL+1))
		step := func() {
			if _, err := trainer.Step(batch); err != nil {
				t.Fatal(err)
			}
		}
		step()
		return testing.AllocsPerRun(20, step)
	}
	small, large := count(16), count(256)
	t.Logf("%v allocations a step", large)
	if large > small+2 || large > 200 {
		t.Errorf("%v allocations a step with hidden 256, %v with 16: they grow with the model", large, small)
	}
}
