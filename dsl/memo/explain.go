package memo

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// Explanation says why a step hit or missed.
type Explanation struct {
	Verb    string       `json:"verb"`
	Label   string       `json:"label,omitempty"`
	Key     Key          `json:"key"`
	Hit     bool         `json:"hit"`
	Parts   []Part       `json:"parts"`
	Nearest Key          `json:"nearest,omitempty"` // the stored step of the same verb with the fewest parts that differ
	Changed []Difference `json:"changed,omitempty"` // what differs from it
}

// Difference is one part that is not the same in two steps. An absent part has an empty value.
type Difference struct {
	Name string `json:"name"`
	Was  string `json:"was"`
	Is   string `json:"is"`
}

// Explain compares step with what the store holds.
func (s *Store) Explain(step Step) (Explanation, error) {
	e := Explanation{Verb: step.Verb, Label: step.Label, Key: step.Key(), Parts: sortedParts(step.Parts)}
	_, hit, err := s.Lookup(e.Key)
	if err != nil {
		return e, err
	}
	e.Hit = hit
	if hit {
		return e, nil
	}
	e.Nearest, e.Changed, err = s.Nearest(Manifest{Key: e.Key, Verb: e.Verb, Label: e.Label, Parts: e.Parts})
	return e, err
}

// Nearest finds, among the stored steps of m's verb but m itself, the one with the fewest parts that differ, and lists
// these. Its key is empty if there is none.
func (s *Store) Nearest(m Manifest) (Key, []Difference, error) {
	best := -1
	var near Key
	var changed []Difference
	var used time.Time
	err := s.walk(manifestsDir, func(path string, info fs.FileInfo) error {
		other, err := readManifest(path)
		if err != nil || other.Verb != m.Verb || other.Key == m.Key {
			return nil // damaged ones are verify's business
		}
		diff := Compare(other.Parts, m.Parts)
		score := 2 * len(diff)
		if other.Label != m.Label {
			score++
		}
		if best < 0 || score < best || score == best && info.ModTime().After(used) { // of equally near ones the latest
			best, near, changed, used = score, other.Key, diff, info.ModTime()
		}
		return nil
	})
	return near, changed, err
}

// Compare lists the parts that differ, in order of their names.
func Compare(was, is []Part) []Difference {
	old, now := map[string]string{}, map[string]string{}
	var names []string
	for _, p := range was {
		old[p.Name] = p.Value
		names = append(names, p.Name)
	}
	for _, p := range is {
		now[p.Name] = p.Value
		names = append(names, p.Name)
	}
	slices.Sort(names)
	var diff []Difference
	for _, n := range slices.Compact(names) {
		if old[n] != now[n] {
			diff = append(diff, Difference{n, old[n], now[n]})
		}
	}
	return diff
}

func (d Difference) String() string { return d.Name + ": " + shown(d.Was) + " -> " + shown(d.Is) }

func (e Explanation) String() string {
	var b strings.Builder
	state := "miss"
	if e.Hit {
		state = "hit"
	}
	fmt.Fprintf(&b, "%s %s: %s (key %s)\n", e.Verb, e.Label, state, e.Key.Short())
	switch {
	case e.Hit:
	case e.Nearest == "":
		b.WriteString("  no step of this verb was ever stored\n")
	default:
		fmt.Fprintf(&b, "  nearest stored step: %s\n", e.Nearest.Short())
		for _, d := range e.Changed {
			fmt.Fprintf(&b, "  %s\n", d)
		}
	}
	return b.String()
}

// shown shortens a value for people: digests to 12 digits, texts to one line.
func shown(v string) string {
	switch {
	case v == "":
		return "(none)"
	case Digest(v).Valid():
		return v[:12]
	case len(v) > 120:
		return v[:117] + "..."
	}
	return v
}
