package gc

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/pipelines/promotion"
	"github.com/quire-ml/quire/pipelines/remote"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/claim"
	"github.com/quire-ml/quire/runners/schedule"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/prepare"
)

// An inventory is everything in a workdir.
type inventory struct {
	items   map[string]*Item // by name
	keyed   map[string][]*Item
	foreign map[string]*Foreign
	state   int64 // bytes of files that always stay
}

// takeInventory lists a workdir.
func takeInventory(ctx context.Context, st *store.Store) (*inventory, error) {
	list, err := st.List(ctx, "")
	if err != nil {
		return nil, err
	}
	inv := &inventory{items: map[string]*Item{}, keyed: map[string][]*Item{}, foreign: map[string]*Foreign{}}
	for _, info := range list {
		inv.add(info)
	}
	for _, it := range inv.items {
		slices.SortStableFunc(it.files, func(a, b store.Info) int { return cmp.Compare(orderOf(it, a), orderOf(it, b)) })
	}
	return inv, nil
}

// Files that always stay.
var state = []string{workflow.LatestName, promotion.PointerName, promotion.CutName, schedule.StateName, schedule.LeaseName, schedule.StreakName,
	lastName, claim.LeaseName}

// add files an object under the item that it belongs to.
func (inv *inventory) add(info store.Info) {
	if slices.Contains(state, info.Name) {
		inv.state += info.Bytes
		return
	}
	kind, name, key := belongs(info.Name)
	if kind == "" || info.Generation == "" { // a link that is no object
		inv.addForeign(info)
		return
	}
	it := inv.items[name]
	if it == nil {
		it = &Item{Kind: kind, Name: name, key: key, folder: key != "" && name != info.Name && kind != "outcome" || kind == "sweep"}
		inv.items[name] = it
		if key != "" {
			inv.keyed[key] = append(inv.keyed[key], it)
		}
	}
	it.files = append(it.files, info)
	it.Files++
	it.Bytes += info.Bytes
}

// folders are those that quire has in a workdir. What else lies in them is listed by file.
var folders = []string{"rounds", "stages", "sets", "runs", "corpora", "promoted", "promotions", "schedule", "sweeps", remote.Folder, claim.Folder}

func (inv *inventory) addForeign(info store.Info) {
	name := info.Name
	if top, _, deeper := strings.Cut(name, "/"); deeper && !slices.Contains(folders, top) {
		name = top + "/"
	}
	f := inv.foreign[name]
	if f == nil {
		f = &Foreign{Name: name}
		inv.foreign[name] = f
	}
	f.Files++
	f.Bytes += info.Bytes
}

// belongs returns the kind, name and key of the item that an object belongs to. The kind
// is empty where quire makes no object of that name.
func belongs(object string) (kind, name, key string) {
	top, rest, _ := strings.Cut(object, "/")
	dir, file, deeper := strings.Cut(rest, "/")
	in := func(kind string, own bool) (string, string, string) {
		if !deeper || !workflow.IsKey(dir) || !own {
			return "", "", ""
		}
		return kind, top + "/" + dir, dir
	}
	switch top {
	case "rounds":
		id, ok := workflow.RoundOf(object)
		if ext := object[strings.LastIndexByte(object, '.')+1:]; ok && (ext == "json" || ext == "html") {
			return "round", "rounds/" + id, ""
		}
	case "stages":
		if _, key, ok := workflow.OutcomeOf(object); ok {
			return "outcome", object, key
		}
	case "sets":
		return in("set", ofSet(file))
	case "runs":
		return in("run", ofRun(file))
	case "corpora":
		return in("corpus", true) // a document has any name
	case "sweeps":
		return in("sweep", slices.Contains([]string{"sweep.csv", "best.yaml", report.SweepName, report.PageName}, file))
	case "promoted":
		if sum, ok := promotion.CopyOf(object); ok {
			return "copy", object, sum
		}
	case "promotions":
		if promotion.IsHistory(object) {
			return "promotion", object, ""
		}
	case "schedule":
		if _, ok := schedule.SlotOf(object); ok {
			return "slot", object, ""
		}
	case remote.Folder:
		if remote.IsRequest(object) {
			return "request", object, ""
		}
	case claim.Folder:
		if claim.IsClaim(object) {
			return "claim", object, ""
		}
	}
	return "", "", ""
}

// leases are the objects, by kind of their folder, that are its lease and go last.
var leases = map[string]string{"set": ".prep.json", "run": run.JournalName}

func ofSet(file string) bool {
	return file == dataset.ManifestName || file == leases["set"] || strings.HasPrefix(file, ".parts") || prepare.IsFile(file)
}

func ofRun(file string) bool {
	_, saved := checkpoint.StepOf(file)
	return saved || strings.HasPrefix(file, report.SegmentsPrefix) || strings.HasPrefix(file, report.EventsPrefix+"0000") ||
		slices.Contains([]string{leases["run"], "latest.json", "best.json", run.DivergedName, "config.yaml", report.MetricsName, report.PictureName,
			report.PageName}, file)
}

// orderOf says when an object of an item goes: what is written last goes first.
func orderOf(it *Item, o store.Info) int {
	file := o.Name[strings.LastIndexByte(o.Name, '/')+1:]
	switch {
	case file == leases[it.Kind]:
		return 9
	case slices.Contains([]string{dataset.ManifestName, "latest.json", "best.yaml"}, file), it.Kind == "round" && strings.HasSuffix(file, ".json"):
		return 0
	case slices.Contains([]string{"best.json", dataset.VocabName, "sweep.csv"}, file):
		return 1
	}
	return 2
}
