package configs

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Sweep chooses the trials of a sweep. The values that they try are in the axes,
// keys of the same section that stand for others: sweep.train.lr for train.lr.
type Sweep struct {
	Pick   string `mapstructure:"pick"`
	Trials int    `mapstructure:"trials"`
	Seed   int64  `mapstructure:"seed"`
}

// maxTrials bounds the trials of a sweep, and the values of an axis.
const maxTrials = 1000

// sweepPrefix begins the names of axes.
const sweepPrefix = "sweep."

// A Trial is one config of a sweep.
type Trial struct {
	Number   int            // from 1
	Set      map[string]any // values of the varied keys, by name: train.lr
	Resolved *Resolved
}

// String lists the values of the varied keys: model.hidden=128 train.lr=0.001.
func (t Trial) String() string {
	var parts []string
	for i := range axes {
		if k := axes[i].domain.(axis).of; t.Set[k.name] != nil {
			parts = append(parts, fmt.Sprintf("%s=%v", k.name, t.Set[k.name]))
		}
	}
	return strings.Join(parts, " ")
}

// Varied returns the keys that the sweep varies, in the order of YAML.
func (r *Resolved) Varied() []string {
	var names []string
	for i := range axes {
		if len(r.last(axes[i].name).value.([]any)) > 0 {
			names = append(names, axes[i].domain.(axis).of.name)
		}
	}
	return names
}

// Trials returns the trials of the sweep section. With pick grid they are all
// combinations of the values, or the first sweep.trials; the last key changes
// fastest. With pick random they are sweep.trials different combinations, drawn
// by sweep.seed; a larger number adds trials and keeps the others. Where the
// config of a trial is refused, the *Error names the trial.
func (r *Resolved) Trials() ([]Trial, error) {
	varied := r.Varied()
	if len(varied) == 0 {
		return nil, &Error{Key: "sweep", Reason: "has no key to vary; add values, such as sweep: {train.lr: [0.001, 0.002]}"}
	}
	values := make([][]any, len(varied))
	total := 1
	for i, name := range varied {
		values[i] = r.last(sweepPrefix + name).value.([]any)
		total *= len(values[i])
		if total > 1<<40 {
			return nil, &Error{Key: "sweep", Reason: "has more than 2^40 combinations; vary fewer keys"}
		}
	}
	points, err := r.points(total)
	if err != nil {
		return nil, err
	}
	trials := make([]Trial, len(points))
	var refused []string
	var first error
	for n, point := range points {
		t := Trial{Number: n + 1, Set: map[string]any{}}
		overrides := slices.Clone(r.overrides)
		for i, name := range slices.Backward(varied) {
			t.Set[name] = values[i][point%len(values[i])]
			point /= len(values[i])
			source := fmt.Sprintf("trial %d of the sweep", t.Number)
			overrides = append(overrides, setting{key: keyByName[name], value: t.Set[name], source: source})
		}
		if t.Resolved, err = resolve(r.files, overrides); err != nil {
			if refused = append(refused, strconv.Itoa(t.Number)); first == nil {
				first = inTrial(t, err)
			}
		}
		trials[n] = t
	}
	var e *Error
	if errors.As(first, &e) && len(refused) > 1 {
		e.Reason += "; refused are trials " + strings.Join(refused, ", ")
	}
	if first != nil {
		return nil, first
	}
	return trials, nil
}

// inTrial adds the trial to the error of its config.
func inTrial(t Trial, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	e.Source = fmt.Sprintf("trial %d of the sweep (%v)", t.Number, t)
	return e
}

// points returns the chosen combinations, as numbers from 0 to total-1.
func (r *Resolved) points(total int) ([]int, error) {
	s := r.Config.Sweep
	n := s.Trials
	refuse := func(reason string, args ...any) ([]int, error) {
		return nil, &Error{Key: "sweep.trials", Source: r.last("sweep.trials").source, Reason: fmt.Sprintf(reason, args...)}
	}
	switch {
	case n > total:
		return refuse("is %d, but there are %d combinations", n, total)
	case n == 0 && s.Pick == "random":
		return refuse("is 0, but sweep.pick random needs a number, 1 to %d", min(total, maxTrials))
	case n == 0 && total > maxTrials:
		return refuse("is 0, for all of %d combinations; at most %d are allowed", total, maxTrials)
	case n == 0:
		n = total
	}
	points := make([]int, 0, n)
	if s.Pick == "grid" {
		for i := range n {
			points = append(points, i)
		}
		return points, nil
	}
	seen := map[int]bool{}
	for i := uint64(0); len(points) < n; i++ {
		p := int(mix(mix(uint64(s.Seed))+i) % uint64(total))
		if !seen[p] {
			seen[p] = true
			points = append(points, p)
		}
	}
	return points, nil
}

// mix is a hash: the step and the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
