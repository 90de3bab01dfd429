package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"banter/dsl/event"
)

// manyFilters is a recipe whose parameter says which of its filters to use. %s stands for what differs in two versions.
const manyFilters = `package main

import (
	"embed"
	"strings"

	"banter/dsl"
)

//go:embed *.go
var source embed.FS

type Params struct {
	Streams string
	Case    int
	Least   float64
	Seed    int
}

type limit struct{ n %[1]s }

func (l limit) over(s string) bool { x := l.n; x += x; return int(x) < len(s) }

const words = %[2]s

var shared = 2

func two() int { return %[3]s }

func long(s string) bool { return len(s) > two() }

func main() {
	p := Params{Least: 0.01}
	dsl.Main(&p, func() {
		pairs := dsl.Align(dsl.Words(dsl.Load(p.Streams), p.Streams))
		once := %[2]s
		twice := 1
		twice = 2
		switch p.Case {
		case 0:
			dsl.Filter(pairs, func(q dsl.Pair) bool { return q.Confidence > p.Least && q.Delay < 9*dsl.Second })
		case 1:
			dsl.Filter(pairs, func(q dsl.Pair) bool { return long(q.Response) })
		case 2:
			dsl.Filter(pairs, func(q dsl.Pair) bool { return len(strings.Fields(q.Response)) > words })
		case 3:
			dsl.Filter(pairs, func(q dsl.Pair) bool { return len(q.Response) > once })
		case 4:
			dsl.Filter(pairs, func(q dsl.Pair) bool { return limit{3}.over(q.Response) })
		case 5:
			dsl.Filter(pairs, longer)
		case 6:
			dsl.Filter(pairs, func(q dsl.Pair) bool { return len(q.Response) > twice })
		case 7:
			dsl.Filter(pairs, func(q dsl.Pair) bool { return len(q.Response) > shared })
		case 8:
			for i := range 2 {
				dsl.Filter(pairs, func(q dsl.Pair) bool { return len(q.Response) > i })
			}
		case 9:
			dsl.Filter(pairs, func(q dsl.Pair) bool { return q.AuthorRoles == 0 })
		}
	}, dsl.Source(source))
}

func longer(q dsl.Pair) bool { return long(q.Response) }
`

// filtersOf runs a recipe's case and gives the keys of its filters, by which of two runs in two stores are told apart, and
// whether it said that they are run anew each time.
func filtersOf(t *testing.T, cmd *exec.Cmd) (keys []string, anew bool) {
	t.Helper()
	cmd.Dir = repository(t)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr.String())
	}
	for line := range strings.Lines(string(out)) {
		var e event.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Verb != "filter" {
			continue
		}
		anew = anew || strings.Contains(e.Text, "anew each time")
		if e.State == event.Done || e.State == event.Hit {
			keys = append(keys, e.Key)
		}
	}
	return keys, anew
}

// TestCompiledKeys: a recipe has the same keys where it is compiled as where it is interpreted, or says why it cannot
// know them; and where a thing that a filter depends on changes, so does its key.
func TestCompiledKeys(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if testing.Short() || err != nil {
		t.Skip("builds two programs")
	}
	dir := t.TempDir()
	streams, store := filepath.Join(dir, "streams"), filepath.Join(dir, "store")
	if err := os.CopyFS(filepath.Join(streams, "a"), os.DirFS(filepath.Join(repository(t), "testdata", "streams", "s1"))); err != nil {
		t.Fatal(err)
	}
	type version struct{ file, program string }
	var versions []version
	for i, differ := range [][]any{{"int8", "3", "2"}, {"int", "4", "5"}} {
		v := version{filepath.Join(dir, fmt.Sprint("v", i), "r.go"), filepath.Join(dir, fmt.Sprint("r", i))}
		if err := os.MkdirAll(filepath.Dir(v.file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(v.file, fmt.Appendf(nil, manyFilters, differ...), 0o644); err != nil {
			t.Fatal(err)
		}
		build := exec.Command(goTool, "build", "-o", v.program, v.file)
		build.Dir = repository(t)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		versions = append(versions, v)
	}
	for n, c := range []struct {
		name             string
		compiled, differ bool // remembered where it is compiled; another key in the other version
	}{
		{"parameter", true, false}, {"helper two calls deep", true, true}, {"constant", true, true}, {"variable set once", true, true},
		{"type of a field", true, true}, {"by its name", true, true}, {"variable set twice", false, false}, {"variable of the package", false, false},
		{"variable of a loop", false, false}, {"field of a type that is not known", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var of [2][]string
			for i, v := range versions {
				interpreted, _ := filtersOf(t, exec.Command("recipe", "run", v.file, "--json", "--store", store, "--out", dir, "-p", "streams="+streams, "-p", fmt.Sprint("case=", n)))
				of[i] = interpreted
				// Another seed, which no filter reads, changes no key.
				run := exec.Command(v.program, "-json", "-store", store, "-out", dir, "-param", "streams="+streams, "-param", fmt.Sprint("case=", n), "-param", "seed=9")
				compiled, anew := filtersOf(t, run)
				same := strings.Join(interpreted, " ") == strings.Join(compiled, " ") && len(compiled) > 0
				if same != c.compiled || anew == c.compiled {
					t.Errorf("interpreted %v, compiled %v, anew: %v", interpreted, compiled, anew)
				}
			}
			if differ := strings.Join(of[0], " ") != strings.Join(of[1], " "); differ != c.differ && c.compiled {
				t.Errorf("the two versions' keys: %v and %v", of[0], of[1])
			}
		})
	}
}
