package lab

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// savedNotebook is what of a notebook's file the tests look at.
type savedNotebook struct {
	Cells []struct {
		Type    string   `json:"cell_type"`
		Source  []string `json:"source"`
		Count   *int     `json:"execution_count"`
		Outputs []struct {
			Type string                     `json:"output_type"`
			Data map[string]json.RawMessage `json:"data"`
		} `json:"outputs"`
	} `json:"cells"`
}

var notebooks = filepath.Join("..", "..", "notebooks")

func readNotebook(t *testing.T, path string) (n savedNotebook, raw string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n, string(b)
}

// machinePath is a path of the machine that a notebook was saved on.
var machinePath = regexp.MustCompile(`"[^"]*(/home/|/root/|/tmp/|/Users/|C:\\)[^"]*"`)

func TestNotebooksAreSavedWithTheirOutputs(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(notebooks, "*.ipynb"))
	if err != nil || len(paths) == 0 {
		t.Fatal("there are no notebooks", err)
	}
	for _, path := range paths {
		n, raw := readNotebook(t, path)
		shown, last := 0, 0
		for i, c := range n.Cells {
			if c.Type != "code" {
				continue
			}
			if c.Count == nil || *c.Count <= last {
				t.Errorf("%s: cell %d was not run in order: run kernel/lab/execute.py --save", path, i)
			} else {
				last = *c.Count
			}
			for _, o := range c.Outputs {
				if o.Type == "error" {
					t.Errorf("%s: cell %d is saved with an error", path, i)
				}
				if _, ok := o.Data["text/html"]; ok {
					shown++
				}
			}
		}
		if shown < 4 {
			t.Errorf("%s: %d outputs are to be looked at", path, shown)
		}
		if strings.Contains(raw, "DecompressionStream") {
			t.Errorf("%s: holds the chart library: save it with kernel/lab/execute.py --save", path)
		}
		if found := machinePath.FindString(raw); found != "" {
			t.Errorf("%s: names a machine's path: %.120s", path, found)
		}
	}
}

func TestNotebooksRunFromTheFirstCellToTheLast(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program, starts kernels and transcribes")
	}
	interpreter := python(t)
	engine, err := filepath.Abs(filepath.Join("..", "..", "bin", "banter-engine"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(engine); err != nil {
		t.Skipf("no native worker (run make native): %v", err)
	}
	paths, err := filepath.Glob(filepath.Join(notebooks, "*.ipynb"))
	if err != nil || len(paths) == 0 {
		t.Fatal("there are no notebooks", err)
	}
	dir := t.TempDir()
	pages := filepath.Join(dir, "pages")
	args := []string{interpreter, "execute.py", "--save", "--html", pages}
	// Three of the streams are enough to see that all cells run, and take half the time.
	for _, name := range []string{"models", "streams/s1", "streams/s2", "streams/s3"} {
		source, err := filepath.Abs(filepath.Join("..", "..", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(dir, "testdata", name)
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(source, link); err != nil {
			t.Skipf("no symbolic links here: %v", err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "notebooks"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(dir, "notebooks", filepath.Base(path))
		if err := os.WriteFile(copied, b, 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, copied)
	}
	env := append(installed(t), "BANTER_ENGINE="+engine)
	check(t, env, 9*time.Minute, args...)
	for _, path := range paths {
		before, _ := readNotebook(t, path)
		after, raw := readNotebook(t, filepath.Join(dir, "notebooks", filepath.Base(path)))
		for i, c := range after.Cells {
			if c.Type == "code" && (c.Count == nil || len(c.Outputs) == 0) != (before.Cells[i].Count == nil || len(before.Cells[i].Outputs) == 0) {
				t.Errorf("%s: cell %d shows something in one run and nothing in the other", path, i)
			}
		}
		page, err := os.ReadFile(filepath.Join(pages, strings.TrimSuffix(filepath.Base(path), ".ipynb")+".html"))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"data-banter-chart", "data:image/svg+xml;base64,"} {
			if !strings.Contains(raw, want) || !strings.Contains(string(page), want) {
				t.Errorf("%s: %s is missing in the notebook or in its page", path, want)
			}
		}
	}
}
