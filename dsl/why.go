package dsl

import (
	"fmt"
	"slices"
	"strings"

	"banter/dsl/memo"
	"banter/stdlib/chart"
)

// Reasons say of some steps whether their results were in the store, and if not, what differs from the nearest that was.
type Reasons []memo.Explanation

// Why says, of the steps that made a value, whether each was found in the store or had to be done, what its key is made of,
// and of those that had to be done what differs from the nearest other step that is stored: the option, the input, or the
// captured variable.
func Why(value any) Reasons {
	s := current()
	var steps []memo.Manifest
	switch v := value.(type) {
	case Streams:
		for _, l := range v.list {
			steps = append(steps, l.step)
		}
	case Transcripts:
		steps = v.list
	case Exportable:
		steps = []memo.Manifest{v.manifest()}
	default:
		fail("why", "", fmt.Errorf("a %T is no result of a step: give what Load, Transcribe, Align, Filter, Dataset, Train, Eval or Sample returned", value))
	}
	ran := s.Ran()
	slices.Reverse(ran)
	var list Reasons
	compared := 0
	for _, m := range steps {
		e := memo.Explanation{Verb: m.Verb, Label: m.Label, Key: m.Key, Hit: true, Parts: m.Parts}
		if i := slices.IndexFunc(ran, func(r Ran) bool { return r.Key == m.Key }); i >= 0 {
			e.Hit = ran[i].Outcome == memo.Hit
		}
		if !e.Hit && compared < shownRows { // each comparison reads all manifests
			compared++
			var err error
			if e.Nearest, e.Changed, err = s.store.Nearest(m); err != nil {
				fail("why", m.Verb+" "+m.Label, err)
			}
		}
		list = append(list, e)
	}
	return list
}

func (r Reasons) String() string {
	var b strings.Builder
	for _, e := range r {
		b.WriteString(e.String())
	}
	return b.String()
}

// MimeBundle shows what differs, and the parts of each key.
func (r Reasons) MimeBundle() map[string]any {
	var v view
	for _, e := range r[:min(len(r), shownStreams)] {
		state := "was done"
		if e.Hit {
			state = "was in the store"
		}
		v.say("%s %s, key %s", strings.TrimSpace(e.Verb+" "+e.Label), state, e.Key.Short())
		switch {
		case e.Hit:
		case e.Nearest == "":
			v.say("no other step of this verb is stored")
		default:
			changed := grid{caption: "what differs from the nearest stored step, " + e.Nearest.Short(), total: len(e.Changed),
				columns: []chart.Column{{Name: "part"}, {Name: "there", Wide: true}, {Name: "here", Wide: true}}}
			for _, d := range e.Changed[:min(len(e.Changed), shownRows)] {
				was, is := d.Shown()
				changed.rows = append(changed.rows, []chart.Cell{chart.TextCell(d.Name), chart.TextCell(was), chart.TextCell(is)})
			}
			v.list(changed)
		}
		parts := grid{caption: "all that the bytes depend on", columns: []chart.Column{{Name: "part"}, {Name: "value", Wide: true}}, total: len(e.Parts)}
		for _, p := range e.Parts[:min(len(e.Parts), shownRows)] {
			parts.rows = append(parts.rows, []chart.Cell{chart.TextCell(p.Name), chart.TextCell(memo.Shown(p.Value))})
		}
		v.list(parts)
	}
	if n := len(r) - shownStreams; n > 0 {
		v.say("and %s more", plural(n, "step"))
	}
	return v.forms()
}
