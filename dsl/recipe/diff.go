package recipe

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"banter/dsl/memo"
)

// Comparison is two recipes or runs side by side. What is the same in both is left out of Steps.
type Comparison struct {
	Params  []Side     `json:"params"`
	Steps   []StepSide `json:"steps"`
	Counts  []Side     `json:"counts"`  // steps by verb
	Metrics []Side     `json:"metrics"` // all, or those that differ and those that one of the two has not
}

// Side is one value in both; empty where one has it not.
type Side struct {
	Name string `json:"name"`
	A    string `json:"a"`
	B    string `json:"b"`
}

// StepSide is a step that is not the same in both.
type StepSide struct {
	Step    string            `json:"step"`
	A       memo.Key          `json:"a,omitempty"`
	B       memo.Key          `json:"b,omitempty"`
	Outputs bool              `json:"outputs_differ"`
	Changed []memo.Difference `json:"changed,omitempty"` // parts of the key
}

// Compare puts two recipes or runs side by side, with all metrics or only those that differ.
func Compare(a, b *Lock, all bool) Comparison {
	c := Comparison{Params: []Side{}, Steps: []StepSide{}, Counts: []Side{}, Metrics: []Side{}}
	params := func(l *Lock) []Side {
		var list []Side
		for _, p := range l.Params {
			list = append(list, Side{Name: p.Name, A: p.Value})
		}
		return list
	}
	c.Params = beside(params(a), params(b), true)
	counts := func(l *Lock) []Side {
		var verbs []string
		n := map[string]int{}
		for _, s := range l.Steps {
			if n[s.Verb]++; n[s.Verb] == 1 {
				verbs = append(verbs, s.Verb)
			}
		}
		var list []Side
		for _, v := range verbs {
			list = append(list, Side{Name: v, A: strconv.Itoa(n[v])})
		}
		return list
	}
	c.Counts = beside(counts(a), counts(b), true)
	metrics := func(l *Lock) []Side {
		var list []Side
		seen := map[string]int{}
		for _, m := range l.Metrics {
			name := m.Name
			if seen[name]++; seen[name] > 1 {
				name += fmt.Sprintf(" (%d)", seen[name])
			}
			list = append(list, Side{Name: name, A: strconv.FormatFloat(m.Value, 'g', -1, 64)})
		}
		return list
	}
	c.Metrics = beside(metrics(a), metrics(b), all)
	used := make([]bool, len(b.Steps))
	for _, s := range a.Steps {
		i := match(s, b.Steps, used)
		if i < 0 {
			c.Steps = append(c.Steps, StepSide{Step: s.name(), A: s.Key})
			continue
		}
		used[i] = true
		is := b.Steps[i]
		if differ := outputsDiffer(s, is) != ""; differ || s.Key != is.Key {
			c.Steps = append(c.Steps, StepSide{Step: is.name(), A: s.Key, B: is.Key, Outputs: differ, Changed: memo.Compare(s.Parts, is.Parts)})
		}
	}
	for i, s := range b.Steps {
		if !used[i] {
			c.Steps = append(c.Steps, StepSide{Step: s.name(), B: s.Key})
		}
	}
	return c
}

// beside joins two lists by name, in the order of the first and then of the second.
func beside(a, b []Side, same bool) []Side {
	list := []Side{}
	for _, x := range a {
		i := slices.IndexFunc(b, func(y Side) bool { return y.Name == x.Name })
		if i >= 0 {
			x.B = b[i].A
		}
		if same || x.A != x.B {
			list = append(list, x)
		}
	}
	for _, y := range b {
		if !slices.ContainsFunc(a, func(x Side) bool { return x.Name == y.Name }) {
			list = append(list, Side{Name: y.Name, B: y.A})
		}
	}
	return list
}

// Write writes the comparison as text, with the two under their names.
func (c Comparison) Write(w io.Writer, nameA, nameB string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\t%s\t%s\n", nameA, nameB)
	part := func(title string, list []Side) {
		if len(list) > 0 {
			fmt.Fprintf(t, "%s\t\t\n", title)
		}
		for _, s := range list {
			mark := "  "
			if s.A != s.B {
				mark = "* "
			}
			fmt.Fprintf(t, "%s%s\t%s\t%s\n", mark, s.Name, orNone(s.A), orNone(s.B))
		}
	}
	part("parameters", c.Params)
	part("steps by verb", c.Counts)
	part("metrics", c.Metrics)
	if err := t.Flush(); err != nil {
		return err
	}
	var b strings.Builder
	if len(c.Steps) == 0 {
		b.WriteString("all steps are the same\n")
	} else {
		b.WriteString("steps that differ\n")
	}
	for _, s := range c.Steps {
		switch {
		case s.A == "":
			fmt.Fprintf(&b, "  %s %s: only in %s\n", s.Step, s.B.Short(), nameB)
		case s.B == "":
			fmt.Fprintf(&b, "  %s %s: only in %s\n", s.Step, s.A.Short(), nameA)
		default:
			outputs := "the same bytes"
			if s.Outputs {
				outputs = "other bytes"
			}
			fmt.Fprintf(&b, "  %s %s -> %s: %s\n", s.Step, s.A.Short(), s.B.Short(), outputs)
			for _, d := range s.Changed {
				fmt.Fprintf(&b, "    %s\n", d)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
