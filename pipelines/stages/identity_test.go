package stages

import (
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
)

// TestIdentityConfig pins what checkpoints store of a config: keys that came later
// only where they are used.
func TestIdentityConfig(t *testing.T) {
	for _, c := range []struct{ set, want string }{
		{"name=x", `{"model":{"cell":"gru","dropout":0,"embedding":64,"hidden":256,"layers":1},"train":{"batch":16,"clip_norm":1,"epochs":6,"lr":0.002,"precision":"fp32","schedule":"constant","seed":1,"warmup_steps":0,"weight_decay":0}}`},
		{"train.hidden=carry", `"hidden":"carry","lr"`},
		{"train.average=0.99", `"train":{"average":0.99,`},
		{"train.curriculum.sampling=0.25", `"curriculum":{"sampling":0.25},`},
		{"train.hidden=carry train.curriculum.seq_length=7", `"curriculum":{"epochs":1,"seq_length":7},`},
	} {
		r, err := configs.Load(configs.Options{Config: "quickstart", Set: strings.Fields(c.set)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := identityConfig(&r.Config, "")
		if err != nil || !strings.Contains(string(got), c.want) || c.set == "name=x" && string(got) != c.want {
			t.Errorf("%s: %s, %v; want %s", c.set, got, err, c.want)
		}
	}
}
