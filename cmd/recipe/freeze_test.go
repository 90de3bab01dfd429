package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"banter/dsl"
	"banter/dsl/memo"
	"banter/dsl/recipe"
	"banter/kernel/cell"
	"banter/stdlib/align"
)

// scripted is a notebook on one shipped stream, with its script in place of recognised speech.
func scripted(streams string, withFunc bool) *recipe.Notebook {
	code := func(run int, src string) recipe.Cell { return recipe.Cell{Kind: recipe.Code, Run: run, Source: src} }
	nb := &recipe.Notebook{Cells: []recipe.Cell{
		{Kind: recipe.Markdown, Source: "# Scripts"},
		code(1, "type Params struct {\n\tStreams string\n\tFDR float64 // at most\n}\np := Params{"+fmt.Sprintf("%q", streams)+", 0.2}"),
		code(2, "streams := Load(p.Streams)\nwords := Words(streams, p.Streams)\nwords.Streams().Len()"),
		code(3, "pairs := Align(words)\npairs.Len()"),
		code(4, "good := Filter(pairs, FDR.AtMost(p.FDR), NoBots())\ngood.Len()"),
	}}
	if withFunc {
		nb.Cells = append(nb.Cells,
			code(5, "import \"strings\"\nleast := 2\nfunc long(p Pair) bool { return len(strings.Fields(p.Response)) >= least }"),
			code(6, "good = Filter(good, func(q Pair) bool {\n\t// not one word\n\treturn long(q) && q.Confidence > 0.1 && p.FDR < 1\n})"))
	}
	nb.Cells = append(nb.Cells, code(7, "rows := Dataset(good)\nExport(rows, \"dataset\")\nrows"))
	return nb
}

// oneStream is a folder with the first shipped stream.
func oneStream(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	from := filepath.Join(repository(t), "testdata", "streams", "s1")
	if err := os.CopyFS(filepath.Join(dir, "s1"), os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// results lists the keys of a store's steps with the digests of their outputs, sorted.
func results(t *testing.T, dir string) []string {
	t.Helper()
	store, err := memo.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := store.Manifests()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, m := range all {
		line := m.Verb + " " + string(m.Key)
		for _, p := range m.Parts {
			if strings.Contains(p.Name, "predicate") || strings.Contains(p.Name, "captured") || p.Name == "anew" {
				line += fmt.Sprintf(" %s=%q", p.Name, p.Value)
			}
		}
		for _, o := range m.Outputs {
			line += fmt.Sprintf(" %s=%.12s", o.Name, o.Digest)
		}
		list = append(list, line)
	}
	slices.Sort(list)
	return list
}

// inNotebook runs the cells as the kernel does.
func inNotebook(t *testing.T, nb *recipe.Notebook, store string) {
	t.Helper()
	session, err := dsl.Open(dsl.Config{Store: store, Out: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	ev, err := cell.New(cell.Options{Prelude: []string{"banter/dsl"}, Stdout: io.Discard, Stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer ev.Close()
	for i, c := range nb.Cells {
		if c.Kind != recipe.Code {
			continue
		}
		err := session.Run(t.Context(), func() error {
			_, err := ev.Run(t.Context(), fmt.Sprintf("cell%d", i+1), c.Source)
			return err
		})
		if err != nil {
			t.Fatalf("cell %d: %v", i+1, err)
		}
	}
}

func frozenIn(t *testing.T, dir string, nb *recipe.Notebook) string {
	t.Helper()
	frozen, err := recipe.Freeze(nb, recipe.FreezeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "frozen.go")
	if err := os.WriteFile(file, frozen.Source, 0o666); err != nil {
		t.Fatal(err)
	}
	return file
}

func runRecipe(t *testing.T, want int, file, store string, change func(*recipe.Options)) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	o := recipe.Options{Store: store, Out: t.TempDir(), Stdout: &out, Stderr: &errs}
	if change != nil {
		change(&o)
	}
	if code := recipe.Run(context.Background(), file, interpret, o); code != want {
		t.Fatalf("exit code %d, want %d\n%s%s", code, want, &out, &errs)
	}
	return out.String(), errs.String()
}

// TestNotebookAndRecipeAgree: the cells in a notebook and the recipe frozen of them make the same steps, with predicates.
func TestNotebookAndRecipeAgree(t *testing.T) {
	nb := scripted(oneStream(t), true)
	a, b := t.TempDir(), t.TempDir()
	inNotebook(t, nb, a)
	runRecipe(t, dsl.ExitDone, frozenIn(t, t.TempDir(), nb), b, nil)
	if x, y := results(t, a), results(t, b); !slices.Equal(x, y) {
		t.Errorf("in the notebook\n%s\nunder recipe run\n%s", strings.Join(x, "\n"), strings.Join(y, "\n"))
	}
}

// TestCompiledAndInterpretedAgree builds a frozen recipe with the real compiler.
func TestCompiledAndInterpretedAgree(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program: takes a while")
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("there is no go tool")
	}
	nb := scripted(oneStream(t), false)
	dir, a, b := t.TempDir(), t.TempDir(), t.TempDir()
	file := frozenIn(t, dir, nb)
	runRecipe(t, dsl.ExitDone, file, a, nil)
	program := filepath.Join(dir, "frozen")
	for _, args := range [][]string{{"vet", file}, {"build", "-o", program, file}} {
		cmd := exec.CommandContext(t.Context(), goTool, args...)
		cmd.Dir = repository(t)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", args[0], err, out)
		}
	}
	if out, err := exec.CommandContext(t.Context(), program, "-store", b, "-out", t.TempDir()).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if x, y := results(t, a), results(t, b); !slices.Equal(x, y) {
		t.Errorf("under recipe run\n%s\ncompiled\n%s", strings.Join(x, "\n"), strings.Join(y, "\n"))
	}
}

// TestLocked goes through what a lock file can find.
func TestLocked(t *testing.T) {
	streams := oneStream(t)
	dir, store := t.TempDir(), t.TempDir()
	file := frozenIn(t, dir, scripted(streams, true))
	lock := recipe.LockFile(file)
	with := func(m recipe.Mode) func(*recipe.Options) { return func(o *recipe.Options) { o.Mode = m } }

	if _, text := runRecipe(t, dsl.ExitUsage, file, store, with(recipe.Locked)); !strings.Contains(text, "--update-lock") {
		t.Errorf("without a lock file: %s", text)
	}
	if out, _ := runRecipe(t, dsl.ExitDone, file, store, with(recipe.DryRun)); !strings.Contains(out, "will run") || !strings.Contains(out, "Dataset") {
		t.Errorf("dry run of an empty store:\n%s", out)
	}
	if len(results(t, store)) != 0 {
		t.Error("the dry run made something")
	}
	runRecipe(t, dsl.ExitDone, file, store, with(recipe.UpdateLock))
	first, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	if out, _ := runRecipe(t, dsl.ExitDone, file, store, with(recipe.DryRun)); strings.Contains(out, "will run") {
		t.Errorf("dry run of a full store:\n%s", out)
	}
	runRecipe(t, dsl.ExitDone, file, t.TempDir(), with(recipe.Locked)) // from nothing, in another store
	runRecipe(t, dsl.ExitDone, file, t.TempDir(), func(o *recipe.Options) {
		o.Mode, o.Jobs, o.Lock = recipe.UpdateLock, 1, filepath.Join(dir, "again.lock")
	})
	if again, err := os.ReadFile(filepath.Join(dir, "again.lock")); err != nil || !bytes.Equal(first, again) {
		t.Errorf("another run wrote another lock file: %v", err)
	}

	// Another parameter.
	_, text := runRecipe(t, dsl.ExitLock, file, store, func(o *recipe.Options) {
		o.Mode, o.Params = recipe.Locked, map[string]string{"fdr": "0.01"}
	})
	for _, want := range []string{"filter", "parameter fdr: 0.2 -> 0.01", "--update-lock"} {
		if !strings.Contains(text, want) {
			t.Errorf("another parameter: %q does not say %q", text, want)
		}
	}

	// Another input: the first step that differs is the one that reads it.
	vtt := filepath.Join(streams, "s1", "script.vtt")
	b, err := os.ReadFile(vtt)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vtt, bytes.Replace(b, []byte("the"), []byte("thy"), 1), 0o666); err != nil {
		t.Fatal(err)
	}
	_, text = runRecipe(t, dsl.ExitLock, file, store, with(recipe.Locked))
	for _, want := range []string{"words.parquet of transcribe s1", "input.transcript: "} {
		if !strings.Contains(text, want) {
			t.Errorf("another input: %q does not say %q", text, want)
		}
	}
	if err := os.WriteFile(vtt, b, 0o666); err != nil {
		t.Fatal(err)
	}
	runRecipe(t, dsl.ExitDone, file, store, with(recipe.Locked))

	// A lock file that somebody edited.
	if err := os.WriteFile(lock, bytes.Replace(first, []byte(`"value": "s1"`), []byte(`"value": "s2"`), 1), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, text := runRecipe(t, dsl.ExitUsage, file, store, with(recipe.Locked)); !strings.Contains(text, "do not give its key") {
		t.Errorf("an edited lock: %s", text)
	}
}

// TestForget counts what a stream and an author leave, and that nothing is left when the author is filtered.
func TestForget(t *testing.T) {
	streams, store := oneStream(t), t.TempDir()
	file := frozenIn(t, t.TempDir(), scripted(streams, false))
	runRecipe(t, dsl.ExitDone, file, store, nil)
	s, err := memo.Open(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	byStream, err := recipe.Forget(t.Context(), s, recipe.Whom{Stream: "s1"})
	if err != nil {
		t.Fatal(err)
	}
	if len(byStream.Steps) != len(results(t, store)) || !slices.Equal(byStream.Recipes, []string{file}) {
		t.Errorf("%+v", byStream)
	}
	if none, err := recipe.Forget(t.Context(), s, recipe.Whom{Stream: "s2"}); err != nil || len(none.Steps) != 0 {
		t.Errorf("a stream that is not there: %+v, %v", none, err)
	}
	l, err := recipe.LastRun(s, file)
	if err != nil {
		t.Fatal(err)
	}
	hash := anAuthor(t, s, l)
	byAuthor, err := recipe.Forget(t.Context(), s, recipe.Whom{Author: hash})
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]int{}
	for _, st := range byAuthor.Steps {
		for name, n := range st.Rows {
			rows[st.Verb+" "+name] += n
		}
	}
	if rows["load messages.parquet"] < rows["align pairs.parquet"] || rows["align pairs.parquet"] == 0 ||
		rows["align pairs.parquet"] != rows["filter pairs.parquet"]+rows["filter dropped.parquet"] {
		t.Errorf("rows of %s: %v", hash, rows)
	}
	// With NoBots(hash) no row of theirs is left behind the filter.
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(src, []byte("dsl.NoBots()"), fmt.Appendf(nil, "dsl.NoBots(%q)", hash), 1), 0o666); err != nil {
		t.Fatal(err)
	}
	fresh := t.TempDir()
	runRecipe(t, dsl.ExitDone, file, fresh, nil)
	if s, err = memo.Open(fresh, nil); err != nil {
		t.Fatal(err)
	}
	left, err := recipe.Forget(t.Context(), s, recipe.Whom{Author: hash})
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range left.Steps {
		if st.Verb == "dataset" || st.Rows["pairs.parquet"] > 0 && st.Verb != "align" {
			t.Errorf("still there: %+v", st)
		}
	}
}

// anAuthor is the author of the first pair that was kept.
func anAuthor(t *testing.T, s *memo.Store, l *recipe.Lock) string {
	t.Helper()
	for _, step := range l.Steps {
		if step.Verb != "filter" {
			continue
		}
		for _, o := range step.Outputs {
			if o.Name != "pairs.parquet" {
				continue
			}
			f, err := s.OpenObject(o)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			pairs, err := align.ReadPairs(f, o.Size)
			if err != nil || len(pairs) == 0 {
				t.Fatalf("%d pairs, %v", len(pairs), err)
			}
			return pairs[0].AuthorHash
		}
	}
	t.Fatal("no filter ran")
	return ""
}
