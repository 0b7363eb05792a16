package command

import (
	"context"
	"runtime/debug"
	"sync"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/monitor"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/pipelines/web"
)

// daemon runs rounds until ctx ends. Where the config has an address, it answers there, from
// before the first round until the last one has ended.
func daemon(ctx context.Context, c *configs.Config, o round.Options) error {
	if c.Schedule.Listen == "" {
		return round.Retrain(ctx, c, o)
	}
	l, err := web.Listen(c.Schedule.Listen)
	if err != nil {
		return err
	}
	defer l.Close()
	st, err := text.OpenWorkdir(ctx, c)
	if err != nil {
		return err
	}
	defer st.Close()
	o.Console.Line("quire: listens on http://%s: /healthz, /livez and /metrics", l.Addr())
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = named(info)
	}
	m := monitor.New(version)
	o.Watch = m
	serving, stop := context.WithCancel(context.WithoutCancel(ctx)) // SIGTERM ends it when the round has saved
	var server sync.WaitGroup
	server.Go(func() {
		if err := m.Serve(serving, l, st, o.Console.Warn); err != nil {
			o.Console.Warn("%v; the rounds go on", err)
		}
	})
	defer func() {
		stop()
		server.Wait()
	}()
	return round.Retrain(ctx, c, o)
}
