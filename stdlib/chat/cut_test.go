package chat

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestCutGzip checks that a half-downloaded log of each format gives messages as the whole one has them, and one malformed
// record where it breaks off; Strict makes that an error.
func TestCutGzip(t *testing.T) {
	var none []string // samples so small that no cut leaves a message
	for _, c := range formatCases {
		raw, err := os.ReadFile(filepath.Join("testdata", c.file))
		if err != nil {
			t.Fatal(err)
		}
		whole, err := Read(t.Context(), bytes.NewReader(raw), c.options)
		if err != nil {
			t.Fatal(err)
		}
		texts := map[int64]string{}
		for _, m := range whole.Messages {
			texts[m.Position] = m.Text
		}
		packed := gzipped(raw)
		some := false
		for cut := len(packed) / 2; cut < len(packed)-8; cut += 7 {
			log, err := Read(t.Context(), bytes.NewReader(packed[:cut]), c.options)
			if err != nil {
				continue // too little is left
			}
			some = true
			n := len(log.Report.Problems)
			if n == 0 || !strings.Contains(log.Report.Problems[n-1].Reason, "truncated gzip") {
				t.Fatalf("%s cut at %d: %+v", c.file, cut, log.Report)
			}
			for i, m := range log.Messages {
				text, ok := texts[m.Position]
				if i == len(log.Messages)-1 && strings.HasPrefix(text, m.Text) {
					continue // it may go on over lines that are missing
				}
				if !ok || text != m.Text {
					t.Fatalf("%s cut at %d: %q, in the whole log %q", c.file, cut, m.Text, text)
				}
			}
			again, err := Read(t.Context(), &dribble{b: packed[:cut]}, c.options)
			if err != nil || !reflect.DeepEqual(again, log) {
				t.Fatalf("%s cut at %d reads differently in crumbs: %v", c.file, cut, err)
			}
			strict := c.options
			strict.Strict = true
			if _, err := Read(t.Context(), bytes.NewReader(packed[:cut]), strict); err == nil {
				t.Fatalf("%s cut at %d: Strict took it", c.file, cut)
			}
		}
		if !some {
			none = append(none, c.file)
		}
	}
	t.Log("nothing readable in any cut:", none)
	if len(none) > len(formatCases)/3 {
		t.Error("too many samples give nothing")
	}
}
