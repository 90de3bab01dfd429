package train

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"banter/stdlib/lm/adapter"
)

func TestResultReadsBack(t *testing.T) {
	m := openModel(t, tinyModel)
	o := tinyOptions
	o.Steps = 3
	r, err := Run(t.Context(), m, randomPlan(1, 9, 48), o, Machine{Workers: 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var dirs [2]string
	for i := range dirs {
		dirs[i] = filepath.Join(t.TempDir(), "adapter")
		if err := r.Write(dirs[i], m.Config); err != nil {
			t.Fatal(err)
		}
	}
	back, err := adapter.Read(dirs[0])
	if err != nil {
		t.Fatal(err)
	}
	if back.Digest() != r.Record.Adapter {
		t.Error("the adapter reads back as another")
	}
	entries, err := os.ReadDir(dirs[0])
	if err != nil || len(entries) != 4 {
		t.Fatalf("%d files: %v", len(entries), err)
	}
	for _, e := range entries {
		a, err := os.ReadFile(filepath.Join(dirs[0], e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dirs[1], e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("two writes of %s differ", e.Name())
		}
		if e.Name() == RecordFile {
			var record Record
			if err := json.Unmarshal(a, &record); err != nil || record.Steps != 3 {
				t.Errorf("%s: %v", e.Name(), err)
			}
		}
	}
}

func TestAutoTakesWhatFits(t *testing.T) {
	m := openModel(t, tinyModel)
	estimate := func(p Preset, narrow bool) int64 { return p.Estimate(m, Options{}, PlanOptions{}, narrow, 2) }
	for _, c := range []struct {
		memory int64
		want   string
	}{{8 * gib, "8 GB"}, {23 * gib, "24 GB"}, {17 * gib, "16 GB"}, {500 * gib, "80 GB"}} {
		p, err := Choose(c.memory, estimate)
		if err != nil || p.Name != c.want || p.Bytes > c.memory || !p.Fits || p.Narrow {
			t.Errorf("%d GiB: %+v, %v; want %s", c.memory/gib, p, err, c.want)
		}
	}
	if _, err := Choose(1<<20, estimate); err == nil {
		t.Error("a megabyte was enough")
	}
	o, size := Options{Rank: 8, Targets: []string{"q_proj"}}, Size{Tokens: 512, Longest: 512, Learned: 100}
	small := Estimate(m, o, size, Machine{Workers: 2, Recompute: true})
	if large := Estimate(m, o, size, Machine{Workers: 2}); large <= small {
		t.Errorf("keeping all layers takes %d bytes, keeping their inputs %d", large, small)
	}
}

// TestABaseIsNarrowedWhereItDoesNotFit: a preset takes a base as it is while there is room, and says so.
func TestABaseIsNarrowedWhereItDoesNotFit(t *testing.T) {
	estimate := func(p Preset, narrow bool) int64 { // of a base of 7 billion weights stored as BF16
		switch {
		case !narrow || p.Precision == "BF16":
			return 17 * gib
		default:
			return 10 * gib
		}
	}
	for _, c := range Weigh(estimate) {
		want := map[string][2]bool{"12 GB": {true, true}, "8 GB": {true, false}, "CPU 8 GB": {true, false}, "16 GB": {false, false}, "24 GB": {false, true}}
		w, ok := want[c.Name]
		if !ok {
			w = [2]bool{false, true}
		}
		if c.Name == "12 GB" && c.Bytes != 10*gib || c.Narrow != w[0] {
			t.Errorf("%s: %+v", c.Name, c)
		}
		if fits := float64(c.Bytes) <= 0.9*float64(c.Memory); c.Fits != fits || c.Fits != w[1] {
			t.Errorf("%s: fits: %v", c.Name, c.Fits)
		}
	}
	if c, err := Choose(16*gib, estimate); err != nil || c.Name != "12 GB" || !c.Narrow {
		t.Errorf("in 16 GiB: %+v, %v", c, err)
	}
}
