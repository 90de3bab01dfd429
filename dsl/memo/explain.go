package memo

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
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
	Shared  bool         `json:"shared,omitempty"` // no hit here, but in the shared store
	Parts   []Part       `json:"parts"`
	Nearest Key          `json:"nearest,omitempty"` // the other stored step of the same verb with the fewest parts that differ
	Changed []Difference `json:"changed,omitempty"` // what differs from it
}

// Difference is one part that is not the same in two steps, or one member of a part that is a JSON object: "options.window".
// What is absent has an empty value.
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

// Compare lists what differs, in order of the parts' names.
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
			diff = append(diff, within(Difference{n, old[n], now[n]}, 0)...)
		}
	}
	return diff
}

// within takes a difference of two JSON objects apart into those of their members.
func within(d Difference, depth int) []Difference {
	const deepest, longest = 8, 1 << 20
	var was, is map[string]json.RawMessage
	if depth >= deepest || len(d.Was)+len(d.Is) > longest || !strings.HasPrefix(d.Was, "{") || !strings.HasPrefix(d.Is, "{") ||
		json.Unmarshal([]byte(d.Was), &was) != nil || json.Unmarshal([]byte(d.Is), &is) != nil {
		return []Difference{d}
	}
	members := maps.Clone(was)
	maps.Copy(members, is)
	var list []Difference
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if a, b := string(was[name]), string(is[name]); a != b {
			list = append(list, within(Difference{d.Name + "." + name, a, b}, depth+1)...)
		}
	}
	if len(list) == 0 { // what follows the JSON differs, or how it is written
		return []Difference{d}
	}
	return list
}

func (d Difference) String() string {
	was, is := d.Shown()
	return d.Name + ": " + was + " -> " + is
}

// Shown are both values for people: of long ones, such as the source of a predicate and of what it calls, what differs.
func (d Difference) Shown() (was, is string) {
	was, is = d.Was, d.Is
	if strings.Contains(was+is, "\n") && was != "" && is != "" {
		old, now := strings.Split(was, "\n"), strings.Split(is, "\n")
		was = strings.Join(slices.DeleteFunc(slices.Clone(old), func(line string) bool { return slices.Contains(now, line) }), "\n")
		is = strings.Join(slices.DeleteFunc(slices.Clone(now), func(line string) bool { return slices.Contains(old, line) }), "\n")
		if was == "" && is == "" { // only their order
			was, is = d.Was, d.Is
		}
	}
	a, b := []rune(was), []rune(is)
	if len(a) <= shownRunes && len(b) <= shownRunes {
		return Shown(was), Shown(is)
	}
	const before = 30 // of what is the same, runes that are kept before what differs
	same := 0
	for same < len(a) && same < len(b) && a[same] == b[same] {
		same++
	}
	if same > 2*before {
		was, is = "..."+string(a[same-before:]), "..."+string(b[same-before:])
	}
	return Shown(was), Shown(is)
}

func (e Explanation) String() string {
	var b strings.Builder
	state := "miss"
	switch {
	case e.Hit:
		state = "hit"
	case e.Shared:
		state = "in the shared store"
	}
	fmt.Fprintf(&b, "%s %s: %s (key %s)\n", e.Verb, e.Label, state, e.Key.Short())
	switch {
	case e.Nearest == "" && (e.Hit || e.Shared):
	case e.Nearest == "":
		b.WriteString("  no other step of this verb is stored\n")
	default:
		fmt.Fprintf(&b, "  nearest other stored step %s differs in\n", e.Nearest.Short())
		for _, d := range e.Changed {
			fmt.Fprintf(&b, "  %s\n", d)
		}
	}
	return b.String()
}

// shownRunes is how much of a value people are shown.
const shownRunes = 120

// Shown shortens a value for people: digests to 12 digits, texts to one line.
func Shown(v string) string {
	switch {
	case v == "":
		return "(none)"
	case Digest(v).Valid():
		return v[:12]
	}
	v = strings.Join(strings.Fields(v), " ")
	if runes := []rune(v); len(runes) > shownRunes {
		return string(runes[:shownRunes-3]) + "..."
	}
	return v
}
