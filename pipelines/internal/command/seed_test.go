package command_test
import ("testing";"fmt";"strings")
func TestSeed(t *testing.T) {
	l := newLab(t)
	l.write(l.corpus, strings.Repeat(strings.Repeat("a", 30)+"b", 100))
	l.ok("prep")
	for s := 1; s < 60; s++ {
		o := l.ok("train", "--quiet", "--replace", "--set", "model.hidden=1", "--set", fmt.Sprint("train.seed=",s), "--set", "train.max_steps=1")
		if o.stderr != "" { fmt.Println(s, o.stderr) }
	}
}
