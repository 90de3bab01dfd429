package recipe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"banter/dsl"
	"banter/dsl/memo"
	"banter/internal/problem"
	"banter/stdlib/eval"
)

const (
	lockFormat = "banter-lock/1"
	maxLock    = 64 << 20
)

// Lock is what a run came to: all that went into it and all that came out, by digest. docs/formats.md describes the file.
type Lock struct {
	Format          string            `json:"format"`
	Params          []LockedParam     `json:"params"`
	Inputs          []LockedInput     `json:"inputs"`
	Models          []LockedModel     `json:"models"`
	Engines         []string          `json:"engines"`
	Implementations map[string]string `json:"implementations"` // verb to digest of its code
	Steps           []LockedStep      `json:"steps"`           // each after those that it reads
	Metrics         []Metric          `json:"metrics"`
}

// LockedParam is a parameter with the value that it had.
type LockedParam struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// LockedInput is a file that came from outside.
type LockedInput struct {
	Step   string      `json:"step"` // "load s1"
	Name   string      `json:"name"` // "recording"
	Digest memo.Digest `json:"sha256"`
}

// LockedModel is a model that a step used.
type LockedModel struct {
	Step     string `json:"step"`
	Name     string `json:"name"` // "base"
	Identity string `json:"identity"`
}

// LockedStep is a step with its outputs.
type LockedStep struct {
	Verb    string        `json:"verb"`
	Label   string        `json:"label,omitempty"`
	Key     memo.Key      `json:"key"`
	Reads   []memo.Key    `json:"reads,omitempty"`
	Varies  string        `json:"varies,omitempty"` // why the bytes may differ on another machine
	Outputs []memo.Output `json:"outputs"`
	Parts   []memo.Part   `json:"parts"`
}

func (s LockedStep) name() string { return strings.TrimSpace(s.Verb + " " + s.Label) }

// Metric is a number that a step told.
type Metric struct {
	Name  string  `json:"name"` // "filter 6 rules: pairs"
	Value float64 `json:"value"`
}

// LockFile is where the lock of a recipe lies: beside it.
func LockFile(recipe string) string {
	return strings.TrimSuffix(recipe, filepath.Ext(recipe)) + ".lock"
}

// NewLock describes what a finished session did.
func NewLock(s *dsl.Session) (*Lock, error) {
	l, err := lockOf(s.Store(), s.Keys())
	if err != nil {
		return nil, err
	}
	for _, p := range s.Given() {
		l.Params = append(l.Params, LockedParam{p.Name, p.Default})
	}
	return l, nil
}

// lockOf describes the steps with the given keys.
func lockOf(store *memo.Store, keys []memo.Key) (*Lock, error) {
	l := &Lock{Format: lockFormat, Params: []LockedParam{}, Inputs: []LockedInput{}, Models: []LockedModel{}, Engines: []string{},
		Implementations: map[string]string{}, Metrics: []Metric{}}
	keys = slices.Clone(keys)
	slices.Sort(keys)
	manifests := map[memo.Key]memo.Manifest{}
	for _, k := range slices.Compact(keys) {
		m, ok, err := store.Lookup(k)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, &problem.Error{Op: "lock", Path: store.Dir(), Err: fmt.Errorf("step %s is no longer in the store", k.Short()), Fix: "run the recipe again"}
		}
		manifests[k] = m
	}
	renamed := map[memo.Key]memo.Key{} // steps that are done anew each time are known by the rest of their parts
	for k, m := range manifests {
		m.Parts = slices.DeleteFunc(m.Parts, func(p memo.Part) bool { return p.Name == "anew" })
		renamed[k] = memo.Step{Verb: m.Verb, Parts: m.Parts}.Key()
		manifests[k] = m
	}
	for _, m := range inOrder(manifests) {
		step := LockedStep{Verb: m.Verb, Label: m.Label, Key: renamed[m.Key], Varies: m.Varies, Outputs: m.Outputs, Parts: m.Parts}
		for _, r := range m.Reads {
			if k := renamed[r]; k != "" {
				r = k
			}
			step.Reads = append(step.Reads, r)
		}
		l.Steps = append(l.Steps, step)
		l.index(step)
		metrics, err := metricsOf(store, m)
		if err != nil {
			return nil, err
		}
		l.Metrics = append(l.Metrics, metrics...)
	}
	return l, nil
}

// index notes what of a step's parts came from outside.
func (l *Lock) index(s LockedStep) {
	for _, p := range s.Parts {
		input, isInput := strings.CutPrefix(p.Name, "input.")
		switch {
		case p.Name == "impl":
			l.Implementations[s.Verb] = p.Value
		case p.Name == "engine":
			if !slices.Contains(l.Engines, p.Value) {
				l.Engines = append(l.Engines, p.Value)
			}
		case p.Name == "model" || p.Name == "vad" || p.Name == "base" || p.Name == "embedder":
			l.Models = append(l.Models, LockedModel{s.name(), p.Name, p.Value})
		case isInput && (s.Verb == "load" || s.Verb == "transcribe" || s.Verb == "recalibrate" && input == "labels") && memo.Digest(p.Value).Valid():
			l.Inputs = append(l.Inputs, LockedInput{s.name(), input, memo.Digest(p.Value)})
		}
	}
}

// inOrder sorts steps so that each comes after those that it reads, the same way each time.
func inOrder(steps map[memo.Key]memo.Manifest) []memo.Manifest {
	depths := map[memo.Key]int{}
	var depth func(k memo.Key) int
	depth = func(k memo.Key) int {
		if d, ok := depths[k]; ok {
			return d
		}
		depths[k] = 0 // what would read itself ends here
		d := 0
		for _, r := range steps[k].Reads {
			if _, ok := steps[r]; ok {
				d = max(d, depth(r)+1)
			}
		}
		depths[k] = d
		return d
	}
	keys := slices.Sorted(maps.Keys(steps))
	for _, k := range keys {
		depth(k)
	}
	list := make([]memo.Manifest, 0, len(keys))
	for _, k := range keys {
		list = append(list, steps[k])
	}
	slices.SortStableFunc(list, func(a, b memo.Manifest) int {
		if d := depths[a.Key] - depths[b.Key]; d != 0 {
			return d
		}
		if c := strings.Compare(a.Verb, b.Verb); c != 0 {
			return c
		}
		return strings.Compare(a.Label, b.Label)
	})
	return list
}

// metricsOf are the numbers among a step's facts, and the measures of an evaluation. Speeds are left out: they are the
// machine's.
func metricsOf(store *memo.Store, m memo.Manifest) ([]Metric, error) {
	name := strings.TrimSpace(m.Verb + " " + m.Label)
	var list []Metric
	if m.Verb == "eval" {
		o, err := m.Output("evaluation.json")
		if err != nil {
			return nil, err
		}
		b, err := store.Read(o)
		if err != nil {
			return nil, err
		}
		r, err := eval.ReadReport(b)
		if err != nil {
			return nil, err
		}
		for _, row := range r.Rows() {
			if b, t := row.Base.Value, row.Tuned.Value; !math.IsNaN(b+t) && !math.IsInf(b+t, 0) {
				list = append(list, Metric{name + ": " + row.Name + ", base", b}, Metric{name + ": " + row.Name + ", tuned", t})
			}
		}
		return list, nil
	}
	if m.Verb == "load" || len(m.Facts) == 0 {
		return nil, nil
	}
	var tree any
	if err := json.Unmarshal(m.Facts, &tree); err != nil {
		return nil, fmt.Errorf("facts of step %s: %w", m.Key.Short(), err)
	}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case float64:
			list = append(list, Metric{name + ": " + path, v})
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				if k != "tokens_per_second" {
					walk(strings.TrimPrefix(path+"."+k, "."), v[k])
				}
			}
		}
	}
	walk("", tree)
	return list, nil
}

// WriteTo writes the lock to a file, which appears complete or not at all.
func (l *Lock) WriteTo(file string) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(l); err != nil {
		return err
	}
	return memo.WriteFile(file, &b)
}

// ReadLock reads a lock file. Its steps are checked against their keys.
func ReadLock(file string) (*Lock, error) {
	fail := func(err error, fix string) (*Lock, error) {
		return nil, &problem.Error{Op: "read lock", Path: file, Err: err, Fix: fix}
	}
	f, err := os.Open(file)
	if err != nil {
		return fail(plain(err), "make it with recipe run --update-lock")
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxLock+1))
	if err != nil {
		return fail(plain(err), "")
	}
	l, err := parseLock(b)
	if err != nil {
		return fail(err, "make it anew with recipe run --update-lock")
	}
	return l, nil
}

func parseLock(b []byte) (*Lock, error) {
	if len(b) > maxLock {
		return nil, fmt.Errorf("more than %d bytes are no lock file", maxLock)
	}
	var l Lock
	if err := json.Unmarshal(b, &l); err != nil {
		return nil, fmt.Errorf("it is not a lock file: %w", err)
	}
	if l.Format != lockFormat {
		return nil, fmt.Errorf("its format is %q and not %q", l.Format, lockFormat)
	}
	for _, s := range l.Steps {
		if key := (memo.Step{Verb: s.Verb, Parts: s.Parts}).Key(); key != s.Key {
			return nil, fmt.Errorf("the parts of %s do not give its key: the file was changed", s.name())
		}
		for _, o := range s.Outputs {
			if !o.Digest.Valid() {
				return nil, fmt.Errorf("the output %s of %s has no digest", o.Name, s.name())
			}
		}
	}
	return &l, nil
}

// Verify compares a run with the lock, step by step. The error, a *dsl.LockError, names the first output that is not what
// the lock says, and why.
func (l *Lock) Verify(now *Lock) error {
	used := make([]bool, len(now.Steps))
	for _, was := range l.Steps {
		i := match(was, now.Steps, used)
		if i < 0 {
			return refusedByLock(fmt.Sprintf("%s did not run", was.name()), l.paramsChanged(now))
		}
		used[i] = true
		is := now.Steps[i]
		if what := outputsDiffer(was, is); what != "" {
			return refusedByLock(what, l.why(was, is, now))
		}
	}
	for i, s := range now.Steps {
		if !used[i] {
			return refusedByLock(fmt.Sprintf("%s ran, which the lock does not know", s.name()), l.paramsChanged(now))
		}
	}
	return nil
}

func refusedByLock(what, why string) error {
	if why != "" {
		what += ": " + why
	}
	return &dsl.LockError{Reason: "not what the lock says: " + what + " (if that is meant, run with --update-lock)"}
}

// match finds the step that a locked one is now: that of the same key, or else the first of its verb and label, or else
// of its verb.
func match(was LockedStep, steps []LockedStep, used []bool) int {
	for _, same := range []func(s LockedStep) bool{
		func(s LockedStep) bool { return s.Key == was.Key },
		func(s LockedStep) bool { return s.Verb == was.Verb && s.Label == was.Label },
		func(s LockedStep) bool { return s.Verb == was.Verb },
	} {
		for i, s := range steps {
			if !used[i] && same(s) {
				return i
			}
		}
	}
	return -1
}

// outputsDiffer says which output is not what it was, or "".
func outputsDiffer(was, is LockedStep) string {
	now := map[string]memo.Output{}
	for _, o := range is.Outputs {
		now[o.Name] = o
	}
	for _, o := range was.Outputs {
		n, ok := now[o.Name]
		switch {
		case !ok:
			return fmt.Sprintf("%s has no output %s any more", is.name(), o.Name)
		case n.Digest != o.Digest:
			return fmt.Sprintf("%s of %s has SHA-256 %.12s and not %.12s", o.Name, is.name(), n.Digest, o.Digest)
		}
		delete(now, o.Name)
	}
	for _, name := range sortedNames(now) {
		return fmt.Sprintf("%s has another output, %s", is.name(), name)
	}
	return ""
}

// why says what of a step's key is not what it was.
func (l *Lock) why(was, is LockedStep, now *Lock) string {
	var reasons []string
	if params := l.paramsChanged(now); params != "" {
		reasons = append(reasons, params)
	}
	for _, d := range memo.Compare(was.Parts, is.Parts) {
		reasons = append(reasons, "its "+d.String())
	}
	switch {
	case len(reasons) > 0:
	case is.Varies != "":
		reasons = append(reasons, "its key is the same, but "+is.Varies)
	default:
		reasons = append(reasons, "its key is the same: the step does not give the same bytes each time")
	}
	if is.Varies != "" && was.Key != is.Key {
		reasons = append(reasons, is.Varies)
	}
	return strings.Join(reasons, "; ")
}

func (l *Lock) paramsChanged(now *Lock) string {
	is := map[string]string{}
	for _, p := range now.Params {
		is[p.Name] = p.Value
	}
	var changed []string
	for _, p := range l.Params {
		if v, ok := is[p.Name]; ok && v != p.Value {
			changed = append(changed, fmt.Sprintf("parameter %s: %s -> %s", p.Name, p.Value, v))
		}
	}
	return strings.Join(changed, "; ")
}
