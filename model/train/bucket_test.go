package train_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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
