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
	for _, c := range []struct {
		memory int64
		want   string
	}{{8 * gib, "8 GB"}, {23 * gib, "24 GB"}, {17 * gib, "16 GB"}, {500 * gib, "80 GB"}} {
		p, need, err := Auto(m, c.memory, 2)
		if err != nil || p.Name != c.want || need > c.memory {
			t.Errorf("%d GiB: %s, %d bytes, %v; want %s", c.memory/gib, p.Name, need, err, c.want)
		}
	}
	if _, _, err := Auto(m, 1<<20, 2); err == nil {
		t.Error("a megabyte was enough")
	}
	o, size := Options{Rank: 8, Targets: []string{"q_proj"}}, Size{Tokens: 512, Longest: 512, Learned: 100}
	small := Estimate(m, o, size, Machine{Workers: 2, Recompute: true})
	if large := Estimate(m, o, size, Machine{Workers: 2}); large <= small {
		t.Errorf("keeping all layers takes %d bytes, keeping their inputs %d", large, small)
	}
}
