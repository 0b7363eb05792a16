package configs

import (
	"slices"
	"strings"
	"testing"
)

func TestGC(t *testing.T) {
	for text, want := range map[string][4]int{"": {}, "30d": {0, 0, 30, 0}, "2y5m7d3h": {2, 5, 7, 3}, "1y": {1}, "6m": {0, 6}, "12h": {0, 0, 0, 12},
		"1m1h": {0, 1, 0, 1}} {
		r, err := Load(Options{Set: []string{"gc.keep_within=" + text}})
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		years, months, days, hours, err := r.Config.GC.Within()
		if got := [4]int{years, months, days, hours}; got != want || err != nil || r.Config.GC.Keeps() != (want != [4]int{}) {
			t.Errorf("%q is %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"30", "d", "-3d", "1w", "3h2d", "1.5d", "30 d", "30D", "all"} {
		if _, err := Load(Options{Set: []string{"gc.keep_within=" + text}}); err == nil || !strings.Contains(err.Error(), "a length of time such as 30d") {
			t.Errorf("gc.keep_within %q: %v", text, err)
		}
	}
	r, err := Load(Options{Set: []string{"gc.keep_sweeps=3c2b, 77aa00", "gc.keep_daily=7"}})
	if err != nil || !slices.Equal(r.Config.GC.Sweeps(), []string{"3c2b", "77aa00"}) || !r.Config.GC.Keeps() {
		t.Errorf("sweeps are %v, %v", r.Config.GC.Sweeps(), err)
	}
	for _, set := range []string{"gc.keep_sweeps=3c2", "gc.keep_sweeps=everything", "gc.keep_promotions=1", "gc.keep_last=-1", "gc.keep_lst=3"} {
		if _, err := Load(Options{Set: []string{set}}); err == nil {
			t.Errorf("%s is taken", set)
		}
	}
	r, err = Load(Options{})
	if err != nil || r.Config.GC.Keeps() || r.Config.GC.KeepPromotions != 10 {
		t.Errorf("by default %+v, %v", r.Config.GC, err)
	}
}
