package monitor

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/quire-ml/quire/pipelines/promotion"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

const (
	serviceEvery = 5 * time.Minute // between two reads of promoted.json, where no round has ended
	sizeEvery    = 6 * time.Hour   // between two counts of the workdir, each after a round: a listing of a bucket costs money
	deep         = 400             // rounds that are looked through for the one that promoted
)

// service is the model in service.
type service struct {
	number   int64 // of its promotion; 0: none
	sha256   string
	nats     float64   // 0: no gate was asked
	promoted time.Time // zero: not known
}

// measure is the size of a workdir.
type measure struct {
	bytes, objects int64
	at             time.Time
}

// follow keeps what is in service, and the size of the workdir, until ctx ends. An error
// leaves what was read before: the scheduler warns of a workdir that cannot be read.
func (m *Monitor) follow(ctx context.Context, st *store.Store) {
	ctx = store.WithNotices(ctx, func(string) {}) // likewise
	tick := time.NewTicker(serviceEvery)
	defer tick.Stop()
	var sized time.Time
	for woken := true; ; {
		m.readService(ctx, st, woken)
		if woken && (sized.IsZero() || m.now().Sub(sized) >= sizeEvery) {
			if m.count(ctx, st) > 0 {
				sized = m.now()
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			woken = false
		case <-m.wake:
			woken = true
		}
	}
}

// readService reads which model is in service. woken says that a round may have promoted it.
func (m *Monitor) readService(ctx context.Context, st *store.Store, woken bool) {
	m.mu.Lock()
	last := m.service
	m.mu.Unlock()
	now, err := inService(ctx, st, last, woken)
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.service = now
}

// count counts the objects of the workdir, and returns how many there are.
func (m *Monitor) count(ctx context.Context, st *store.Store) int {
	all, err := st.List(ctx, "")
	if err != nil {
		return 0
	}
	size := measure{objects: int64(len(all)), at: time.Now()}
	for _, info := range all {
		size.bytes += info.Bytes
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bytes = size
	return len(all)
}

// inService returns the model in service. last is what was returned before; where it has
// no time, again looks for it once more.
func inService(ctx context.Context, st *store.Store, last service, again bool) (service, error) {
	p, _, err := promotion.Read(ctx, st)
	switch {
	case errors.Is(err, store.ErrNotExist):
		return service{}, nil
	case err != nil:
		return last, err
	case p.Number == last.number && p.SHA256 == last.sha256 && (!last.promoted.IsZero() || !again):
		return last, nil
	}
	now := service{number: p.Number, sha256: p.SHA256, nats: p.Nats}
	if p.By != promotion.ByRound {
		now.promoted, err = time.Parse(time.RFC3339, p.At)
		return now, err
	}
	now.promoted, err = promotedAt(ctx, st, p)
	return now, err
}

// promotedAt returns the end of the round that made a promotion; zero: it is not among the
// newest rounds.
func promotedAt(ctx context.Context, st *store.Store, p *promotion.Promoted) (time.Time, error) {
	list, err := st.List(ctx, "rounds/")
	if err != nil {
		return time.Time{}, err
	}
	read := 0
	for _, info := range slices.Backward(list) {
		id, ok := strings.CutSuffix(path.Base(info.Name), ".json")
		if !ok || info.Name != workflow.RecordName(id) || id == round.Newest {
			continue
		}
		if read++; read > deep {
			break
		}
		r, err := workflow.ReadRecord(ctx, st, id)
		if err != nil {
			if ctx.Err() != nil || store.Transient(err) {
				return time.Time{}, err
			}
			continue // damaged, or deleted meanwhile
		}
		made, stage, err := round.PromotionArtifact.Recorded(r)
		if err == nil && stage != nil && stage.Action == workflow.ActionRun && made.Number == p.Number && made.SHA256 == p.SHA256 {
			return r.Ended, nil
		}
	}
	return time.Time{}, nil
}
