package command_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// served is a process of quire serve.
type served struct {
	*lab
	c      *exec.Cmd
	url    string
	stdout bytes.Buffer
	said   struct {
		sync.Mutex
		lines []string
	}
	read chan bool
}

// serve starts the command and waits until it answers.
func (l *lab) serve(args ...string) *served {
	l.t.Helper()
	s := &served{lab: l, read: make(chan bool)}
	s.c = l.child(append([]string{"serve", "--listen", "127.0.0.1:0", "--poll", "20ms"}, args...)...)
	s.c.Stdout = &s.stdout
	stderr, err := s.c.StderrPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := s.c.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = s.c.Process.Kill() })
	url := make(chan string, 1)
	go func() {
		defer close(s.read)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			line := lines.Text()
			s.said.Lock()
			s.said.lines = append(s.said.lines, line)
			s.said.Unlock()
			if _, rest, ok := strings.Cut(line, "serve: http://"); ok {
				address, _, _ := strings.Cut(rest, " ")
				url <- "http://" + address
			}
		}
		close(url)
	}()
	if s.url = <-url; s.url == "" {
		l.t.Fatalf("it does not serve: %q", s.said.lines)
	}
	return s
}

// says waits for a line with these words.
func (s *served) says(words string) {
	s.t.Helper()
	s.soon(words, func() bool {
		s.said.Lock()
		defer s.said.Unlock()
		return strings.Contains(strings.Join(s.said.lines, "\n"), words)
	})
}

// soon waits for a condition, for a minute at most.
func (s *served) soon(what string, holds func() bool) {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !holds(); <-tick.C {
		if time.Now().After(end) {
			s.t.Fatalf("after a minute: not %s; it said %q", what, s.said.lines)
		}
	}
}

// stop sends SIGTERM and returns how the process ended.
func (s *served) stop() outcome {
	s.t.Helper()
	if err := s.c.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	<-s.read
	_ = s.c.Wait()
	return outcome{s.c.Args, s.c.ProcessState.ExitCode(), s.stdout.String(), strings.Join(s.said.lines, "\n")}
}

// complete returns the answer to a completion, and its text.
func (s *served) complete(body string, headers ...string) (answer map[string]any, text string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), "POST", s.url+"/v1/completions", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		s.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		return answer, ""
	}
	return answer, answer["choices"].([]any)[0].(map[string]any)["text"].(string)
}

// TestServe is a server's life: it answers with the promoted model as generate does, takes
// up another one, keeps it where the next is damaged, and ends at SIGTERM with its texts
// complete.
func TestServe(t *testing.T) {
	l := untrained(t)
	run := l.result(trainKeys, "train", "--set", "train.epochs=0")["run"].(string)
	l.ok("promote", run)
	s := l.serve("--json")
	const body = `{"model":"tiny","prompt":"the ","max_tokens":30,"seed":3}`
	first, text := s.complete(body)
	if want := l.result("texts", "generate", "--prompt", "the ", "--length", "30", "--seed", "3")["texts"].([]any)[0]; "the "+text != want {
		t.Errorf("serve writes %q, generate %q", "the "+text, want)
	}
	proof, err := json.Marshal(first["choices"].([]any)[0].(map[string]any)["receipt"])
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(l.dir, "receipt.json")
	l.write(file, string(proof))
	if again := l.result("texts", "replay", file)["texts"].([]any)[0]; again != "the "+text {
		t.Errorf("serve writes %q, replay %q", "the "+text, again)
	}
	other := l.result(trainKeys, "train", "--set", "train.epochs=0", "--set", "train.seed=2", "--out", filepath.Join(l.dir, "other"))["run"].(string)
	l.ok("promote", other)
	s.says("in place of " + first["system_fingerprint"].(string))
	second, text := s.complete(body)
	if second["system_fingerprint"] == first["system_fingerprint"] {
		t.Error("the answer names the model before")
	}
	if want := l.result("texts", "generate", "--prompt", "the ", "--length", "30", "--seed", "3")["texts"].([]any)[0]; "the "+text != want {
		t.Errorf("serve writes %q, generate %q", "the "+text, want)
	}
	pointer := filepath.Join(l.work, "promoted.json")
	intact := l.read(pointer)
	l.write(pointer, strings.Replace(intact, second["system_fingerprint"].(string), first["system_fingerprint"].(string), 1))
	s.says("the model in use stays")
	if answer, again := s.complete(body); again != text || answer["system_fingerprint"] != second["system_fingerprint"] {
		t.Errorf("with a damaged pointer the answer is %v", answer)
	}
	l.write(pointer, intact)

	long, err := http.Post(s.url+"/v1/completions", "application/json", strings.NewReader(`{"prompt":"the ","max_tokens":16000,"seed":3,"stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer long.Body.Close()
	result := l.parse("address model texts", s.stop())
	data, err := io.ReadAll(long.Body)
	if err != nil || !strings.HasSuffix(string(data), "data: [DONE]\n\n") || !strings.Contains(string(data), `"finish_reason":"length"`) {
		t.Errorf("the text under way ends with %q, %v", data[max(0, len(data)-200):], err)
	}
	if result["texts"] != 4.0 || result["model"] != "tiny" || s.c.ProcessState.ExitCode() != 0 {
		t.Errorf("exit code %d, %v", s.c.ProcessState.ExitCode(), result)
	}
}

// TestServeSecondSignal: a second signal ends the server at once, whatever is under way.
func TestServeSecondSignal(t *testing.T) {
	l := untrained(t)
	s := l.serve("--max-tokens", "1000000000", "--max-answer", "1000000000", "--max-memory", "100000000000")
	long, err := http.Post(s.url+"/v1/completions", "application/json", strings.NewReader(`{"prompt":"the ","max_tokens":1000000000,"stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer long.Body.Close()
	if err := s.c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.soon("the door closed", func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if o := s.stop(); o.code != -1 || s.c.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Error(o)
	}
}

// TestServeKeys: keys are read from a file, which others should not read.
func TestServeKeys(t *testing.T) {
	l := untrained(t)
	file := filepath.Join(l.dir, "keys")
	l.write(file, "a-secret-of-the-test\n")
	s := l.serve("--api-key-file", file, "--name", "mine", "--max-tokens", "5")
	s.says("other users of this machine can read " + file)
	if answer, text := s.complete(`{"prompt":"the "}`); text != "" || answer["error"].(map[string]any)["code"] != "invalid_api_key" {
		t.Errorf("without a key: %v", answer)
	}
	const key = "Authorization: Bearer a-secret-of-the-test"
	if answer, text := s.complete(`{"prompt":"the ","max_tokens":5,"model":"mine"}`, key); len(text) != 5 {
		t.Errorf("with a key: %v", answer)
	}
	if answer, text := s.complete(`{"prompt":"the ","max_tokens":6}`, key); text != "" {
		t.Errorf("above the limit: %v", answer)
	}
	if o := s.stop(); o.code != 0 || strings.Contains(o.String(), "a-secret") {
		t.Error(o)
	}
}

// TestServePython asks with the official openai client, in the Python that QUIRE_PYTHON
// names.
func TestServePython(t *testing.T) {
	python := os.Getenv("QUIRE_PYTHON")
	if python == "" || exec.Command(python, "-c", "import openai").Run() != nil {
		t.Skip("QUIRE_PYTHON names no Python with openai")
	}
	l := untrained(t)
	file := filepath.Join(l.dir, "keys")
	l.write(file, "a-secret-of-the-test\n")
	s := l.serve("--api-key-file", file, "--max-tokens", "10000000", "--max-answer", "100000000", "--max-time", "250ms")
	out, err := exec.Command(python, filepath.Join("testdata", "client.py"), s.url, "a-secret-of-the-test").Output()
	if err != nil {
		t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
	}
	var got map[string]any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	text := l.result("texts", "generate", "--prompt", "the ", "--length", "40", "--seed", "3")["texts"].([]any)[0].(string)
	var offsets []float64
	for i := range 44 {
		offsets = append(offsets, float64(i))
	}
	tokens := strings.Split(text, "")
	scores := l.result(scoreKeys+" log_probs", "score", "--text", text, "--chars")["log_probs"].([]any)
	type list = []any
	want := map[string]any{"models": list{"tiny"}, "text": text, "finish": "length", "usage": list{4.0, 40.0, 44.0}, "offsets": offsets, "tokens": tokens,
		"token_logprobs": scores, "streamed": text[4:], "streamed_usage": 44.0, "finishes": list{"length"},
		"errors": map[string]any{
			"model":   list{"NotFoundError", 404.0, "invalid_request_error", "model", "model_not_found"},
			"length":  list{"BadRequestError", 400.0, "invalid_request_error", "max_tokens", nil},
			"penalty": list{"BadRequestError", 400.0, "invalid_request_error", "presence_penalty", nil},
			"prompt":  list{"BadRequestError", 400.0, "invalid_request_error", "prompt", nil},
			"field":   list{"BadRequestError", 400.0, "invalid_request_error", "best", nil},
			"key":     list{"AuthenticationError", 401.0, "invalid_request_error", nil, "invalid_api_key"},
			"chat":    list{"NotFoundError", 404.0, "invalid_request_error", nil, "not_found"},
			"stream":  list{"APIError", "server_error", nil, "timeout", true},
		}}
	for name, value := range want {
		if a, b := fmt.Sprint(got[name]), fmt.Sprint(value); a != b {
			t.Errorf("%s: %s, want %s", name, a, b)
		}
	}
	if got["root"] != got["fingerprint"] || len(got["several"].(list)) != 4 {
		t.Errorf("root %v, fingerprint %v, several %q", got["root"], got["fingerprint"], got["several"])
	}
}

// TestServeLikelihood: lm_eval's stock local-completions, which finds the tokenizer at the
// server, has the log-likelihoods that score gives, one request at a time and four.
func TestServeLikelihood(t *testing.T) {
	python := os.Getenv("QUIRE_PYTHON")
	if python == "" || exec.Command(python, "-c", "import lm_eval").Run() != nil {
		t.Skip("QUIRE_PYTHON names no Python with lm_eval[api]")
	}
	l := untrained(t)
	s := l.serve()
	pairs := [][2]string{{"the", " light"}, {"a prism is", "\nbent by glass"}, {"of", " the light of the prism"}, {"b", "e"}, {"the light", "."}}
	texts := []string{"the light of a prism", "is bent", "a"}
	job, err := json.Marshal(map[string]any{"pairs": pairs, "texts": texts, "prefix": 0}) // the line end has id 0
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(l.dir, "job.json")
	l.write(file, string(job))
	c := exec.Command(python, filepath.Join("testdata", "likelihood.py"), s.url, file)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	type answers struct {
		Pairs   [][2]any
		Texts   []float64
		Written []string
	}
	var got struct {
		Backend    string
		One, Batch answers
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	score := func(text string, from int) (sum float64) {
		for _, p := range l.result(scoreKeys+" log_probs", "score", "--text", text, "--chars")["log_probs"].([]any)[from:] {
			sum += p.(float64)
		}
		return sum
	}
	for how, a := range map[string]answers{"one": got.One, "batch": got.Batch} {
		if len(a.Pairs) != len(pairs) || len(a.Texts) != len(texts) || len(a.Written) != len(pairs) {
			t.Fatalf("%s: %+v", how, a)
		}
		for i, p := range pairs {
			if want := score(p[0]+p[1], len(p[0])); math.Abs(a.Pairs[i][0].(float64)-want) > 1e-9 {
				t.Errorf("%s: %q after %q has %v, score says %v", how, p[1], p[0], a.Pairs[i][0], want)
			}
			text := l.result("texts", "generate", "--prompt", p[0], "--length", "12", "--temperature", "0")["texts"].([]any)[0].(string)
			if want, _, _ := strings.Cut(text[len(p[0]):], "\n"); a.Written[i] != want {
				t.Errorf("%s: after %q comes %q, generate writes %q", how, p[0], a.Written[i], want)
			}
		}
		for i, text := range texts {
			if want := score("\n"+text, 1); math.Abs(a.Texts[i]-want) > 1e-9 {
				t.Errorf("%s: %q has %v, score says %v", how, text, a.Texts[i], want)
			}
		}
	}
	if got.Backend != "remote" {
		t.Errorf("the tokenizer is %s", got.Backend)
	}
}

// TestServeCurl asks as the help and the README say.
func TestServeCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("there is no curl")
	}
	l := untrained(t)
	s := l.serve()
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(curl, append([]string{"-sS", "--noproxy", "*", "-N"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	text := l.result("texts", "generate", "--prompt", "the ", "--length", "20", "--seed", "1")["texts"].([]any)[0].(string)
	quoted, err := json.Marshal(text[4:])
	if err != nil {
		t.Fatal(err)
	}
	ask := []string{s.url + "/v1/completions", "-H", "Content-Type: application/json", "-d"}
	if out := run(append(ask, `{"prompt": "the ", "max_tokens": 20, "seed": 1}`)...); !strings.Contains(out, `"text":`+string(quoted)) {
		t.Errorf("%s has not %s", out, quoted)
	}
	if out := run(append(ask, `{"prompt": "the ", "max_tokens": 20, "seed": 1, "stream": true}`)...); !strings.HasPrefix(out, "data: {") ||
		!strings.HasSuffix(out, "data: [DONE]\n\n") {
		t.Errorf("%s", out)
	}
	if out := run(s.url+"/v1/completions", "-d", `{"prompt": "the "}`); !strings.Contains(out, "Content-Type: application/json") {
		t.Errorf("without the header: %s", out)
	}
	if out := run("-o", os.DevNull, "-w", "%{http_code}", s.url+"/readyz"); out != "200" {
		t.Errorf("readyz: %s", out)
	}
	if o := s.stop(); o.code != 0 {
		t.Error(o)
	}
}

func TestServeUsage(t *testing.T) {
	l := untrained(t)
	file := filepath.Join(l.dir, "keys")
	l.fails(2, []string{"can be reached from other machines", "--api-key-file", "quire serve --help"}, "serve", "--listen", "0.0.0.0:0")
	l.fails(2, []string{"--api-key-file " + file, "no such file"}, "serve", "--api-key-file", file)
	l.write(file, "short\n")
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	l.fails(2, []string{"line 1: a key has 5 characters, at least 16"}, "serve", "--api-key-file", file)
	l.fails(2, []string{"an address is HOST:PORT"}, "serve", "--listen", "8080")
	l.fails(2, []string{"the origin", "https://example.org"}, "serve", "--cors-origin", "example.org")
	for _, flag := range []string{"--batch=0", "--queue=-1", "--poll=0s", "--max-time=-1s", "--max-body=0", "--max-memory=0"} {
		name, _, _ := strings.Cut(flag, "=")
		l.fails(2, []string{name + " is "}, "serve", flag)
	}
	l.fails(1, []string{"train a model first"}, "serve", "--set", "workdir="+filepath.Join(l.dir, "none"), "--checkpoint", filepath.Join(l.dir, "none"))
	help := l.ok("serve", "--help").stdout
	for _, limit := range []string{"--max-body", "--max-prompt", "--max-tokens", "--max-choices", "--max-answer", "--max-time", "--queue",
		"--batch", "--write-timeout", "--max-requests", "--max-memory", "16 KiB"} {
		if !strings.Contains(help, limit) {
			t.Errorf("the help has no %s", limit)
		}
	}
}
