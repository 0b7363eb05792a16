package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quire-ml/quire/pipelines/promotion"
	"github.com/quire-ml/quire/pipelines/serve"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/pipelines/web"
	"github.com/quire-ml/quire/runners/store"
)

// Serve is the command that answers the completions API.
func Serve() *cobra.Command {
	var o common
	var m modelFlags
	f := serveFlags{limits: serve.DefaultLimits()}
	c := build(&o, "serve", "Answer OpenAI's completions API, and a page to write on", serveHelp, serveExamples, nil)
	c.RunE = func(c *cobra.Command, _ []string) error {
		r, err := o.load()
		if err != nil {
			return err
		}
		options, err := f.options(c, &o)
		if err != nil {
			return err
		}
		model, err := m.open(c, &o, r)
		if err != nil {
			return err
		}
		if f.name == "" {
			options.Name = r.Config.Name
		}
		if m.checkpoint == "" && !c.Flags().Changed("which") {
			options.Next, options.Every = promoted(r.Config.Workdir), f.poll
		}
		s, err := serve.New(model, options)
		if err != nil {
			return usage(c, err)
		}
		l, err := web.Listen(f.listen)
		if err != nil {
			return usage(c, err)
		}
		o.begin(options.Console, r)
		if err := s.Run(c.Context(), l); errors.As(err, new(*serve.OpenError)) {
			return usage(c, fmt.Errorf("%w: name a file of keys with --api-key-file, or listen on 127.0.0.1", err))
		} else if err != nil {
			return err
		}
		result := serveResult{Address: l.Addr().String(), Model: options.Name, Texts: s.Texts()}
		return o.print(c, result, func(w io.Writer) { fmt.Fprintf(w, "texts     %d\n", result.Texts) })
	}
	m.add(c.Flags())
	complete(c, "which", completeWhich(&o))
	f.add(c.Flags())
	return c
}

// serveResult is the outcome of serve.
type serveResult struct {
	Address string `json:"address"`
	Model   string `json:"model"`
	Texts   int64  `json:"texts"` // written to their end
}

const serveHelp = `Serve answers POST /v1/completions in the shape of OpenAI's API, which most programs and
libraries speak, and shows a page at / on which a person writes with the model. A token is a
character. The same prompt, settings, seed and model give the same text, whatever else is
written at the same time; every answer has a receipt, which replay takes. /openapi.json
describes the API, /metrics has figures, /healthz and /readyz are for monitors.

The model is the promoted one, and a newly promoted one is taken up without a dropped request;
with --checkpoint it is that one. A damaged one is refused, and the model in use stays.

Without --api-key-file the server listens on this machine's loopback alone, and answers no web
page of another site. With it, every request but /healthz needs a key: Authorization: Bearer
KEY, or, in a browser, the key as the password. TLS is for a proxy in front of it:
configs/deploy/Caddyfile is an example.

A request above a limit below is refused: 413 for its body, 400 for what it asks for, 429 at once
where the server is full, 504 where it takes too long. A header has 16 KiB and 5 s, a body a
minute, a connection without requests 2 minutes. SIGTERM ends the server when the answers under
way are complete, with exit code 0; a second one ends it at once.`

const serveExamples = `  serve --config shakespeare
  serve --checkpoint run/checkpoints/step-00000172.safetensors --listen :9000
  serve --listen 0.0.0.0:8080 --api-key-file keys.txt
  curl -s localhost:8080/v1/completions -H 'Content-Type: application/json' \
      -d '{"prompt": "ROMEO: ", "max_tokens": 200, "seed": 1}'`

// serveFlags say where, for whom and within which limits serve answers.
type serveFlags struct {
	listen, name, keys string
	origins            []string
	poll               time.Duration
	limits             serve.Limits
}

func (s *serveFlags) add(f *pflag.FlagSet) {
	l := &s.limits
	f.StringVar(&s.listen, "listen", "127.0.0.1:8080", "address to listen on, HOST:PORT")
	f.StringVar(&s.name, "name", "", "name of the model in requests and answers (default: name of the config)")
	f.StringVar(&s.keys, "api-key-file", "", "file of the keys that clients may have, one a line")
	f.StringArrayVar(&s.origins, "cors-origin", nil, "origin of a web page elsewhere that may use the server (repeatable)")
	f.DurationVar(&s.poll, "poll", 5*time.Second, "time between two looks for a newly promoted model")
	f.Int64Var(&l.BodyBytes, "max-body", l.BodyBytes, "bytes of a request's body")
	f.IntVar(&l.Prompt, "max-prompt", l.Prompt, "characters of a prompt")
	f.IntVar(&l.MaxTokens, "max-tokens", l.MaxTokens, "characters of a text: the most that max_tokens may be")
	f.IntVar(&l.Choices, "max-choices", l.Choices, "texts of a request: prompts times n")
	f.IntVar(&l.Answer, "max-answer", l.Answer, "characters of all texts of a request; with logprobs: k a character counts as k+2")
	f.IntVar(&l.Rows, "batch", l.Rows, "texts written side by side")
	f.IntVar(&l.Queue, "queue", l.Queue, "texts that wait; a request beyond is refused at once")
	f.IntVar(&l.Requests, "max-requests", l.Requests, "requests with a body that are under way, those too whose client still reads")
	f.Int64Var(&l.Memory, "max-memory", l.Memory, "bytes that requests under way may take together: bodies, and answers at their longest")
	f.DurationVar(&l.Wall, "max-time", l.Wall, "time of a request, from the end of its body to the end of its texts")
	f.DurationVar(&l.Write, "write-timeout", l.Write, "time for a client to take a part of its answer")
}

// options returns what the flags say.
func (s *serveFlags) options(c *cobra.Command, o *common) (serve.Options, error) {
	options := serve.Options{Name: s.name, Limits: s.limits, Console: o.console(c), Origins: s.origins}
	for _, name := range []string{"poll", "max-body", "max-prompt", "max-tokens", "max-choices", "max-answer", "batch", "queue",
		"max-requests", "max-memory", "max-time", "write-timeout"} {
		if v := c.Flags().Lookup(name).Value.String(); v[0] == '-' || v[0] == '0' && name != "queue" {
			return options, usage(c, fmt.Errorf("--%s is %s: it must be more than 0", name, v))
		}
	}
	if s.keys == "" {
		return options, nil
	}
	info, err := os.Stat(s.keys)
	var data []byte
	if err == nil {
		data, err = os.ReadFile(s.keys)
	}
	if err == nil {
		options.Keys, err = serve.ParseKeys(data)
	}
	if err != nil {
		return options, usage(c, fmt.Errorf("--api-key-file %s: %w", s.keys, err))
	}
	if info.Mode().Perm()&0o077 != 0 {
		options.Console.Warn("serve: other users of this machine can read %s; chmod 600 keeps the keys secret", s.keys)
	}
	return options, nil
}

// again is the time after which a promoted model that could not be used is read again: the
// pointer alone is cheap to read.
const again = time.Minute

// promoted returns the function that looks for a newly promoted model.
func promoted(workdir string) func(ctx context.Context, now *text.Model) (*text.Model, error) {
	var seen string // generation of the pointer to a model that could not be used
	var failed error
	var since time.Time
	return func(ctx context.Context, now *text.Model) (*text.Model, error) {
		st, err := store.Open(ctx, workdir)
		if err != nil {
			return nil, err
		}
		defer st.Close()
		p, generation, err := promotion.Read(ctx, st)
		switch {
		case errors.Is(err, store.ErrNotExist), err == nil && p.SHA256 == now.SHA256:
			return nil, nil
		case err != nil:
			return nil, err
		case failed != nil && generation == seen && time.Since(since) < again:
			return nil, failed
		}
		m, err := promotion.Open(ctx, workdir)
		if err == nil && m.SHA256 == now.SHA256 {
			m = nil
		}
		seen, failed, since = generation, err, time.Now()
		return m, err
	}
}
