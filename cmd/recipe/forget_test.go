package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"banter/dsl"
	"banter/dsl/memo"
	"banter/dsl/recipe"
	"banter/stdlib/align"

	"github.com/parquet-go/parquet-go"
)

// marker stands in every message of the author who is to be forgotten, and nowhere else.
const marker = "zqjxkv"

// forgettable is a folder with two shipped streams, in the first of which one viewer's messages are marked. It returns the
// texts that would give the viewer away.
func forgettable(t *testing.T, dir string) (traces []string) {
	t.Helper()
	for _, s := range []string{"s1", "s2"} {
		if err := os.CopyFS(filepath.Join(dir, s), os.DirFS(filepath.Join(repository(t), "testdata", "streams", s))); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "s1", "chat.json")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var log map[string]any
	if err := json.Unmarshal(b, &log); err != nil {
		t.Fatal(err)
	}
	author := func(c any) map[string]any { return c.(map[string]any)["commenter"].(map[string]any) }
	ids := map[string]int{}
	for _, c := range log["comments"].([]any) {
		if name := author(c)["name"].(string); !strings.Contains(name, "bot") {
			ids[author(c)["_id"].(string)]++
		}
	}
	most := ""
	for id, n := range ids {
		if n > ids[most] || n == ids[most] && id < most {
			most = id
		}
	}
	const id, name = "99971236789", "Unforgettable9731"
	traces = []string{marker, id, name, strings.ToLower(name)}
	for _, c := range log["comments"].([]any) {
		if author(c)["_id"] != most {
			continue
		}
		a, m := author(c), c.(map[string]any)["message"].(map[string]any)
		a["_id"], a["name"], a["display_name"] = id, strings.ToLower(name), name
		m["body"] = m["body"].(string) + " " + marker
		m["fragments"] = []any{map[string]any{"text": m["body"], "emoticon": nil}}
		m["emoticons"] = []any{}
		traces = append(traces, c.(map[string]any)["_id"].(string))
	}
	if b, err = json.Marshal(log); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return traces
}

// holding searches every byte of a folder for some texts: those of the files, and what tables hold when they are unpacked.
func holding(t *testing.T, dir string, texts []string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if bytes.HasPrefix(b, []byte("PAR1")) {
			f, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			for _, group := range f.RowGroups() {
				rows := group.Rows()
				buf := make([]parquet.Row, 64)
				for {
					n, err := rows.ReadRows(buf)
					for _, row := range buf[:n] {
						for _, v := range row {
							if v.Kind() == parquet.ByteArray {
								b = append(append(b, v.ByteArray()...), '\n')
							}
						}
					}
					if err != nil {
						break
					}
				}
				if err := rows.Close(); err != nil {
					return err
				}
			}
		}
		rel, err := filepath.Rel(dir, path)
		for _, text := range texts {
			if bytes.Contains(b, []byte(text)) {
				found = append(found, rel+" holds "+text)
			}
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}

const forgetting = `package main

import "banter/dsl"

type Params struct {
	Streams string
	FDR     float64
	Train   bool
}

func main() {
	p := Params{FDR: 0.1}
	dsl.Main(&p, func() {
		words := dsl.Words(dsl.Load(p.Streams), p.Streams)
		good := dsl.Filter(dsl.Align(words, dsl.Salt("pepper")), dsl.FDR.AtMost(p.FDR), dsl.NoBots())
		rows := dsl.Dataset(good)
		dsl.Export(rows, "dataset")
		if p.Train {
			tuned := dsl.Train(rows, dsl.LoRA(dsl.Rank(2)), dsl.Steps(2), dsl.Batch(2, 1), dsl.MaxLength(96))
			dsl.Export(tuned, "adapter")
			dsl.Sample(tuned, dsl.Prompts("hello everyone"))
		}
	})
}
`

// TestForgetRebuilds forgets an author, and then a stream: what was made of them goes, here and in the shared store, the
// recipe is run again as it was run, and no byte of theirs is left.
func TestForgetRebuilds(t *testing.T) {
	dir := t.TempDir()
	streams, store, shared := filepath.Join(dir, "streams"), filepath.Join(dir, "store"), filepath.Join(dir, "bucket")
	traces := forgettable(t, streams)
	file, out := filepath.Join(dir, "r.go"), filepath.Join(dir, "out")
	if err := os.WriteFile(file, []byte(forgetting), 0o644); err != nil {
		t.Fatal(err)
	}
	params := map[string]string{"streams": streams, "fdr": "0.6", "train": fmt.Sprint(!testing.Short())}
	runRecipe(t, dsl.ExitDone, file, store, func(o *recipe.Options) { o.Params, o.Out, o.Shared = params, out, shared })
	s, err := memo.Open(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := recipe.LastRun(s, file)
	if err != nil {
		t.Fatal(err)
	}
	if p := l.Params[slices.IndexFunc(l.Params, func(p recipe.LockedParam) bool { return p.Name == "fdr" })]; p.Value != "0.6" {
		t.Errorf("the last run's parameters are %v", l.Params)
	}
	hash := markedHash(t, s, l)

	// Leavings that hold something, too: a damaged object, an unfinished draft, a small file that a killed process left.
	for _, left := range []string{"quarantine/abc.1", "drafts/" + strings.Repeat("ab", 32) + ".1/a.txt", "drafts/file-1"} {
		path := filepath.Join(store, left)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("left of "+marker), 0o644); err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(-2 * time.Minute)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	for name, where := range map[string]string{"store": store, "exports": out, "shared store": shared} {
		if found := holding(t, where, traces[:1]); len(found) < 3 {
			t.Fatalf("the %s should hold the marker before: %v", name, found)
		}
	}
	before := results(t, store)

	command := func(args ...string) (string, int) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append(args, "--store", store), &stdout, &stderr)
		return stdout.String() + stderr.String(), code
	}
	text, code := command("forget", "--author", hash)
	if code != dsl.ExitDone || !strings.Contains(text, "rows of messages.parquet") || !strings.Contains(text, file) {
		t.Fatalf("exit code %d:\n%s", code, text)
	}
	if now := results(t, store); !slices.Equal(now, before) {
		t.Fatal("listing changed the store")
	}
	text, code = command("forget", "--author", hash, "--rebuild", "--shared", shared)
	if code != dsl.ExitDone || !strings.Contains(text, "run again: "+file) {
		t.Fatalf("exit code %d:\n%s", code, text)
	}
	for name, where := range map[string]string{"store": store, "exports": out, "shared store": shared} {
		if found := holding(t, where, traces); len(found) > 0 {
			t.Errorf("the %s still holds\n%s", name, strings.Join(found, "\n"))
		}
	}
	if err := soundStore(store); err != nil {
		t.Error(err)
	}

	// The other stream stayed, and what was made of it alone was not made again.
	after := results(t, store)
	kept := 0
	for _, line := range before {
		if strings.HasPrefix(line, "transcribe ") || strings.Contains(line, "load ") {
			if slices.Contains(after, line) {
				kept++
			}
		}
	}
	if kept != 3 { // both transcripts, and the load of the stream that they never wrote in
		t.Errorf("%d steps were kept, want 3:\nbefore\n%s\nafter\n%s", kept, strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	if text, _ := runRecipe(t, dsl.ExitDone, file, store, func(o *recipe.Options) { o.Params, o.Out, o.Shared = params, out, shared }); !strings.Contains(text, " 0 made") {
		t.Errorf("the rebuilt recipe is not remembered:\n%s", text)
	}
	if text, code := command("forget", "--author", hash, "--rebuild"); code != dsl.ExitDone || !strings.Contains(text, "removed 0 steps") || !strings.Contains(text, hash+": forgotten before") {
		t.Errorf("forgetting again: exit code %d:\n%s", code, text)
	}

	// A stream.
	theirs := []string{`"s2"`, "\ns2\n"}
	if found := holding(t, store, theirs); len(found) < 5 {
		t.Fatalf("the store should hold the stream before: %v", found)
	}
	text, code = command("forget", "--stream", "s2", "--rebuild", "--shared", shared)
	if code != dsl.ExitDone || !strings.Contains(text, "1 stream left out as forgotten") {
		t.Fatalf("exit code %d:\n%s", code, text)
	}
	for name, where := range map[string]string{"store": store, "exports": out, "shared store": shared} {
		found := holding(t, where, theirs)
		found = slices.DeleteFunc(found, func(f string) bool { return strings.HasPrefix(f, "forgotten.json") })
		if len(found) > 0 {
			t.Errorf("the %s still holds\n%s", name, strings.Join(found, "\n"))
		}
	}
	if err := soundStore(store); err != nil {
		t.Error(err)
	}
	if all, err := s.Manifests(); err != nil || slices.ContainsFunc(all, func(m memo.Manifest) bool { return m.Label == "s2" }) {
		t.Errorf("a step of the stream is left: %v", err)
	}
	if text, code := command("forget", "--stream", "s1", "--rebuild"); code != dsl.ExitFailed || !strings.Contains(text, "all streams are forgotten") {
		t.Errorf("with nothing left: exit code %d:\n%s", code, text)
	}
}

// markedHash is the hash of the author whose pairs hold the marker.
func markedHash(t *testing.T, s *memo.Store, l *recipe.Lock) string {
	t.Helper()
	for _, step := range l.Steps {
		for _, o := range step.Outputs {
			if step.Verb != "align" || o.Name != "pairs.parquet" {
				continue
			}
			f, err := s.OpenObject(o)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			pairs, err := align.ReadPairs(f, o.Size)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range pairs {
				if strings.Contains(p.Response, marker) {
					return p.AuthorHash
				}
			}
		}
	}
	t.Fatal("no pair holds the marker")
	return ""
}
