package train_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/store/gcstest"
)

// TestDeadBucket: a run whose bucket is gone for good ends with an error, and goes
// on from a local copy of the bucket to the same end. With -tags soak the bucket
// does not answer, and the error must come within two minutes; without, the bucket
// refuses at once.
func TestDeadBucket(t *testing.T) {
	want, server := wholeRun(t), gcstest.New(t)
	var dead atomic.Bool
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !dead.Load():
			server.ServeHTTP(w, r)
		case soak:
			http.Error(w, `{"error":{"code":503,"message":"the bucket is gone"}}`, http.StatusServiceUnavailable)
		default:
			http.Error(w, `{"error":{"code":403,"message":"the bucket is gone"}}`, http.StatusForbidden)
		}
	}))
	defer h.Close()
	t.Setenv("STORAGE_EMULATOR_HOST", strings.TrimPrefix(h.URL, "http://"))
	st := openStore(t, "gs://bucket/run")
	o, _, observe := saves()
	data := trainData()
	var died time.Time
	data.read = func(epoch int, position int64) error {
		if epoch == 2 && position == 3 {
			dead.Store(true)
			died = time.Now()
		}
		return nil
	}
	_, err := runIn(context.Background(), st, data, validationData(), o, observe)
	if took := time.Since(died); err == nil || !strings.Contains(err.Error(), "gs://bucket/run") || took > 2*time.Minute {
		t.Errorf("after %v: %v", took, err)
	} else {
		t.Logf("after %v: %v", took.Round(time.Second), err)
	}
	local := newStore(t)
	copied(t, server, local)
	if res := mustRun(t, local, o, nil); res.Resumed < 4 {
		t.Errorf("the copy goes on at step %d", res.Resumed)
	}
	if got := last(t, local); !reflect.DeepEqual(got, want) {
		t.Errorf("the end is %v, want %v", got, want)
	}
}

// copied copies a bucket, past the network.
func copied(t *testing.T, server *gcstest.Server, to *store.Store) {
	t.Helper()
	for _, name := range server.Names("bucket") {
		data, _ := server.Object("bucket", name)
		if _, err := to.Put(context.Background(), strings.TrimPrefix(name, "run/"), data); err != nil {
			t.Fatal(err)
		}
	}
}

// dying serves a bucket until it has got n requests, then refuses all. When
// after is set, the last request still has its effect, and only its reply is
// lost.
type dying struct {
	server *gcstest.Server
	after  bool

	mu    sync.Mutex
	n     int
	calls int
}

func (d *dying) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	d.calls++
	left := d.n - d.calls
	d.mu.Unlock()
	if left < 0 {
		if left == -1 && d.after {
			d.server.ServeHTTP(httptest.NewRecorder(), r)
		}
		http.Error(w, `{"error":{"code":403,"message":"the bucket is gone"}}`, http.StatusForbidden)
		return
	}
	d.server.ServeHTTP(w, r)
}

// TestStoreDies lets every single request of a run on Cloud Storage be its last,
// before or after it had its effect. The run ends with the error, leaves
// whole files, and the next run goes on to the same end.
func TestStoreDies(t *testing.T) {
	o := options()
	o.KeepLast = 1
	local := newStore(t)
	mustRun(t, local, o, nil)
	want := contents(t, local)
	server := gcstest.New(t)
	requests := 0
	for _, after := range []bool{false, true} {
		for n := 0; ; n++ {
			d := &dying{server: server, after: after, n: n}
			h := httptest.NewServer(d)
			t.Setenv("STORAGE_EMULATOR_HOST", strings.TrimPrefix(h.URL, "http://"))
			url := fmt.Sprintf("gs://runs/%v/%d", after, n)
			st := openStore(t, url)
			_, err := runIn(context.Background(), st, trainData(), validationData(), o, nil)
			h.Close()
			t.Setenv("STORAGE_EMULATOR_HOST", strings.TrimPrefix(server.URL, "http://"))
			st = openStore(t, url)
			if err == nil {
				requests = d.calls
				break
			}
			if !strings.Contains(err.Error(), url) {
				t.Fatalf("request %d: %v", n, err)
			}
			if c, at, err := run.Open(context.Background(), url, "latest"); err == nil && at != st.Join(checkpoint.Path(c.Step)) || err != nil && !errors.Is(err, store.ErrNotExist) {
				t.Errorf("request %d: %s, %v", n, at, err)
			}
			mustRun(t, st, o, nil)
			if got := contents(t, st); !reflect.DeepEqual(got, want) {
				t.Errorf("request %d, after its effect %v: the end is %v, want %v", n, after, got, want)
			}
		}
	}
	if requests < 20 {
		t.Errorf("only %d requests a run", requests)
	}
	t.Logf("%d requests a run", requests)
}
