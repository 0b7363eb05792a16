package sweep

import "testing"

// TestTable has trials with and without a loss, and a value that CSV quotes.
func TestTable(t *testing.T) {
	nats := 1.25
	got, err := table([]string{"model.cell", "train.lr"}, []Trial{
		{Trial: 2, Nats: &nats, Split: "validation", Step: 60, Parameters: 583, Run: "runs/ab", Set: map[string]any{"train.lr": 0.001, "model.cell": "lstm"}},
		{Trial: 1, Step: 7, Run: "runs/cd", Diverged: "train: step 7: NaN", Set: map[string]any{"train.lr": 10.0, "model.cell": `g,"u`}},
	})
	want := "trial,nats,split,step,parameters,run,model.cell,train.lr\n" +
		"2,1.25,validation,60,583,runs/ab,lstm,0.001\n" +
		"1,NaN,,7,0,runs/cd,\"g,\"\"u\",10\n"
	if err != nil || string(got) != want {
		t.Errorf("the table is\n%s%v, want\n%s", got, err, want)
	}
}
