package serve_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/quire-ml/quire/model/sample"
	"github.com/quire-ml/quire/pipelines/serve"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
)

// probe is a request of which the text is known.
type probe struct{ body, want string }

// newProbe makes a request from random numbers, and its text, written alone.
func newProbe(t testing.TB, m *text.Model, r *rand.Rand) probe {
	var prompt []byte
	for range r.IntN(30) {
		prompt = m.Vocab.AppendText(prompt, int32(r.IntN(m.Vocab.Size())))
	}
	o := sample.Options{Temperature: []float64{0, 0.5, 1, 1.7}[r.IntN(4)], TopP: []float64{1, 0.9}[r.IntN(2)], TopK: []int{0, 5}[r.IntN(2)],
		MinP: []float64{0, 0.05}[r.IntN(2)], RepetitionPenalty: []float64{1, 1.3}[r.IntN(2)]}
	seed, length := r.Int64(), 1+r.IntN(120)
	body, err := json.Marshal(map[string]any{"prompt": string(prompt), "max_tokens": length, "seed": seed, "temperature": o.Temperature, "top_p": o.TopP,
		"top_k": o.TopK, "min_p": o.MinP, "repetition_penalty": o.RepetitionPenalty})
	if err != nil {
		t.Fatal(err)
	}
	return probe{string(body), written(t, m, string(prompt), length, o, seed, 0)}
}

// TestSameBytes asks for texts alone, in a batch of 64, and beside requests that come and
// go at random: each has the bytes of the one that is written alone.
func TestSameBytes(t *testing.T) {
	m := open(t, save(t, kind{}))
	h := start(t, m, long)
	r := rand.New(rand.NewPCG(1, 2))
	runs := 24
	if soak {
		runs = 1000
	}
	probes := make([]probe, runs)
	for i := range probes {
		probes[i] = newProbe(t, m, r)
	}
	check := func(how string, i int) {
		if got := h.ask(probes[i].body).Choices[0].Text; got != probes[i].want {
			t.Errorf("run %d, %s: %q, want %q", i, how, got, probes[i].want)
		}
	}
	for i := range probes {
		check("alone", i)
	}
	together(64, runs, func(i int) { check("in a batch of 64", i) })
	ctx, stop := context.WithCancel(t.Context())
	var guests sync.WaitGroup
	var came atomic.Int64
	for g := range 20 {
		guests.Go(func() { visit(ctx, h, rand.New(rand.NewPCG(uint64(g), 3)), &came) })
	}
	together(4, runs, func(i int) { check("beside guests", i) })
	stop()
	guests.Wait()
	if came.Load() < int64(runs) {
		t.Errorf("%d guests for %d runs", came.Load(), runs)
	}
}

// TestSameText pins a text, which is the same on every processor, with any number of
// threads: QUIRE_VARIANT=generic GOMAXPROCS=8 go test -run SameText ./pipelines/serve.
func TestSameText(t *testing.T) {
	h := start(t, open(t, save(t, kind{hidden: 70})), nil)
	const want = "xvrk ge!drhurx\n\nl,rc gikeé kkklkzvt! !kwv!mvpwwhwcwbqogx ,zn"
	together(64, 64, func(int) {
		if got := h.ask(`{"prompt":"the end","max_tokens":60,"seed":7,"top_p":0.95}`).Choices[0].Text; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
	c := h.ask(`{"prompt":"the end","max_tokens":0,"echo":true,"logprobs":0}`).Choices[0]
	if got, want := *c.Logprobs.TokenLogprobs[6], -3.3570924516445704; got != want {
		t.Errorf("the last character has the log-probability %v, want %v", got, want)
	}
}

// together calls f with 0 … n-1, from so many goroutines at a time.
func together(workers, n int, f func(i int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	all.Wait()
}

// visit sends requests that end by themselves, or go away in the middle, until ctx ends.
func visit(ctx context.Context, h *site, r *rand.Rand, came *atomic.Int64) {
	for ctx.Err() == nil {
		body := fmt.Sprintf(`{"prompt":%q,"max_tokens":%d,"n":%d,"stream":%t,"logprobs":%d,"echo":%t}`,
			letters[:r.IntN(26)], 1+r.IntN(200), 1+r.IntN(4), r.IntN(2) == 0, r.IntN(3), r.IntN(2) == 0)
		inner, leave := context.WithCancel(ctx)
		req, err := http.NewRequestWithContext(inner, "POST", h.url+"/v1/completions", strings.NewReader(body))
		if err != nil {
			h.t.Error(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			came.Add(1)
			if r.IntN(2) == 0 {
				_, _ = io.CopyN(io.Discard, resp.Body, int64(r.IntN(2000)))
			} else {
				_, _ = io.Copy(io.Discard, resp.Body)
			}
			leave()
			resp.Body.Close()
		}
		leave()
	}
}

// TestSwaps takes new models into use under clients: no request fails, and each text is
// wholly of the model that the answer names.
func TestSwaps(t *testing.T) {
	paths := []string{save(t, kind{seed: 1}), save(t, kind{seed: 2}), save(t, kind{seed: 3})}
	const prompt, length = "the same question", 150
	want := map[string]string{}
	for _, p := range paths {
		m := open(t, p)
		want[m.SHA256] = written(t, m, prompt, length, plain, 6, 0)
	}
	if len(want) != 3 {
		t.Fatal("the models are alike")
	}
	swaps, clients := 10, 16
	if soak {
		swaps, clients = 200, 64
	}
	next := make(chan string)
	h := start(t, open(t, paths[0]), func(o *serve.Options) {
		o.Every = 1
		o.Next = func(ctx context.Context, now *text.Model) (*text.Model, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case p := <-next:
				return text.OpenModel(ctx, p, "best")
			}
		}
	})
	h.ask(`{"prompt":"a"}`)
	http.DefaultClient.CloseIdleConnections()
	base := runtime.NumGoroutine()
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var answers atomic.Int64
	seen := make([]map[string]bool, clients)
	for i := range clients {
		seen[i] = map[string]bool{}
		all.Go(func() {
			for ctx.Err() == nil {
				body := fmt.Sprintf(`{"prompt":%q,"max_tokens":%d,"seed":6`, prompt, length)
				var digest, text string
				if i%2 == 0 {
					r := h.ask(body + "}")
					digest, text = r.SystemFingerprint, r.Choices[0].Text
				} else {
					events, _, _ := h.events(body + `,"stream":true}`)
					digest, text = events[0].SystemFingerprint, joined(events, 0)
				}
				if answers.Add(1); text != want[digest] {
					t.Errorf("model %.8s: %q, want %q", digest, text, want[digest])
				}
				seen[i][digest] = true
			}
		})
	}
	for i := range swaps {
		n := answers.Load()
		next <- paths[(i+1)%3]
		eventually(t, "answers after a swap", func() bool { return answers.Load() >= n+int64(clients)/4 })
	}
	eventually(t, "all swaps taken", func() bool { return h.figure(`quire_model_swaps_total{outcome="taken"}`) == float64(swaps) })
	stop()
	all.Wait()
	used := map[string]bool{}
	for _, s := range seen {
		for digest := range s {
			used[digest] = true
		}
	}
	if len(used) != 3 {
		t.Errorf("%d models were used", len(used))
	}
	if got := h.figure("quire_num_requests_running") + h.figure("quire_num_requests_waiting"); got != 0 {
		t.Errorf("%v texts are left", got)
	}
	eventually(t, "the loops of the models before ended", func() bool {
		http.DefaultClient.CloseIdleConnections()
		return runtime.NumGoroutine() <= base+3
	})
}

// TestRefusedModel: where the next model cannot be used, the one in use stays, and the
// reason is told once. A pinned digest is refused once its model has gone.
func TestRefusedModel(t *testing.T) {
	good := save(t, kind{seed: 5})
	errs, calls := make(chan error, 9), make(chan bool)
	h := start(t, open(t, save(t, kind{})), func(o *serve.Options) {
		o.Every = 1
		o.Next = func(ctx context.Context, now *text.Model) (*text.Model, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case err := <-errs:
				if err == nil {
					return text.OpenModel(ctx, good, "best")
				}
				return nil, err
			case <-calls:
				return nil, nil
			}
		}
	})
	damaged := &text.ModelError{Err: fmt.Errorf("it is %w", store.ErrDamaged)}
	for _, err := range []error{damaged, damaged, damaged, &text.ModelError{Err: fmt.Errorf("no answer: %w", store.ErrTransient)}, fmt.Errorf("no folder"), damaged} {
		errs <- err
	}
	eventually(t, "all told", func() bool { return len(errs) == 0 })
	calls <- true // comes after them, and is no error
	errs <- damaged
	eventually(t, "told again", func() bool { return len(errs) == 0 })
	calls <- true
	for outcome, want := range map[string]float64{"refused": 3, "unread": 2, "taken": 0} {
		if got := h.figure(`quire_model_swaps_total{outcome="` + outcome + `"}`); got != want {
			t.Errorf("%s: %v are counted, want %v", outcome, got, want)
		}
	}
	const stays = "the model in use stays: "
	for i, want := range []string{" answers with tiny, sha256 ", stays + "it is ", stays + "no answer", stays + "no folder", stays + "it is ", stays + "it is "} {
		if line := <-h.lines.c; !strings.Contains(line, want) {
			t.Errorf("line %d is %q", i, line)
		}
	}
	if n := len(h.lines.c); n != 0 {
		t.Errorf("%d more lines", n)
	}
	pinned := `{"model":"` + h.model.SHA256 + `","prompt":"a"}`
	h.ask(pinned)
	errs <- nil
	eventually(t, "taken", func() bool { return len(errs) == 0 })
	calls <- true
	h.refused("/v1/completions", pinned, 404)
	if got := h.figure(fmt.Sprintf(`quire_model_info{model_name="tiny",sha256=%q}`, open(t, good).SHA256)); got != 1 {
		t.Errorf("the new model is not in the figures")
	}
	if strings.Contains(h.metrics(), h.model.SHA256) {
		t.Error("the old model is")
	}
}

func (h *site) metrics() string {
	_, _, data := h.do("GET", "/metrics", nil)
	return string(data)
}
