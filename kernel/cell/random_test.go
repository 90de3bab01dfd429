package cell

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"
)

var (
	randomPrograms = flag.Int("random-programs", 150, "how many random programs the differential test runs")
	randomSeed     = flag.Uint64("random-seed", 1, "seed of the first random program")
)

// interpretedCells runs cells one after the other in a fresh evaluator and returns what they printed.
func interpretedCells(t *testing.T, cells []string) (out string, err error) {
	var b bytes.Buffer
	e, err := New(Options{Stdout: &b, Stderr: &b})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for i, src := range cells {
		if _, err = e.Run(ctx, fmt.Sprintf("cell %d", i+1), src); err != nil {
			break
		}
	}
	var p *Panic
	if errors.As(err, &p) {
		fmt.Fprintf(&b, "PANIC: %v\n", p.Value)
		err = nil
	}
	return b.String(), err
}

// TestRandomPrograms holds generated programs against the real compiler: each does the same, or is refused by name.
func TestRandomPrograms(t *testing.T) {
	const batch = 250
	reasons, first := map[string]int{}, map[string]uint64{}
	total, refusals := 0, 0
	for from := 0; from < *randomPrograms; from += batch {
		var programs []program
		var samples []sample
		for i := from; i < min(from+batch, *randomPrograms); i++ {
			p := newProgram(*randomSeed + uint64(i))
			programs = append(programs, p)
			samples = append(samples, sample{fmt.Sprintf("seed %d", p.seed), p.decls, p.main})
		}
		want := compiled(t, samples)
		for i, p := range programs {
			total++
			got, err := interpretedCells(t, p.cells)
			switch {
			case refused(err):
				refusals++
				msg, _, _ := strings.Cut(err.Error(), "\n")
				if _, after, ok := strings.Cut(msg, "banter cannot run "); ok {
					msg = after
				}
				if reasons[msg]++; reasons[msg] == 1 {
					first[msg] = p.seed
				}
			case err != nil:
				t.Errorf("seed %d compiles, but: %v\n%s", p.seed, err, strings.Join(p.cells, "\n----\n"))
			case faults.ReplaceAllString(got, "$1") != faults.ReplaceAllString(want[i], "$1"):
				line, g, c := firstDifference(got, want[i])
				t.Errorf("seed %d: silent difference in line %d of the output\ncompiled %q\ncells    %q\n%s", p.seed, line, c, g, strings.Join(p.cells[1:], "\n----\n"))
			}
		}
	}
	var list []string
	for msg, n := range reasons {
		list = append(list, fmt.Sprintf("%5d %s (seed %d)", n, msg, first[msg]))
	}
	sort.Sort(sort.Reverse(sort.StringSlice(list)))
	t.Logf("%d programs, %d refused:\n%s", total, refusals, strings.Join(list, "\n"))
}

func firstDifference(a, b string) (line int, x, y string) {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range max(len(as), len(bs)) {
		x, y = "", ""
		if i < len(as) {
			x = as[i]
		}
		if i < len(bs) {
			y = bs[i]
		}
		if x != y {
			return i + 1, x, y
		}
	}
	return 0, "", ""
}
