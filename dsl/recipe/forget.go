package recipe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"banter/dsl/memo"
	"banter/internal/problem"
	"banter/stdlib/align"
	"banter/stdlib/chat"
	"banter/stdlib/dataset"

	"github.com/parquet-go/parquet-go"
)

// Whom says what is to be forgotten: an author, by the hash that stands in tables, or a stream.
type Whom struct {
	Author string
	Stream string
}

// Touched is all in a store that a removal touches.
type Touched struct {
	Author  string        `json:"author,omitempty"`
	Stream  string        `json:"stream,omitempty"`
	Steps   []TouchedStep `json:"steps"`   // each after those that it reads
	Recipes []string      `json:"recipes"` // whose last run needs one of the steps, or one that is no longer there

	// Meant are the streams of the store, or the hashes of authors whom what was given as a hash names. They are looked for
	// where nothing is touched, since then there may be a mistake.
	Meant []string `json:"meant,omitempty"`
	Gone  bool     `json:"gone,omitempty"` // they were forgotten before

	salts []string // under which the author's hash was made
}

// TouchedStep is a step whose results hold something of whom is to be forgotten, or were made of such results.
type TouchedStep struct {
	Verb  string         `json:"step"`
	Label string         `json:"label,omitempty"`
	Key   memo.Key       `json:"key"`
	Rows  map[string]int `json:"rows,omitempty"` // by output: rows of theirs
}

// Forget lists what the removal of an author or a stream touches. It reads the tables of the store, and changes nothing.
func Forget(ctx context.Context, store *memo.Store, whom Whom) (*Touched, error) {
	if (whom.Author == "") == (whom.Stream == "") {
		return nil, errors.New("name either an author's hash or a stream")
	}
	all, err := store.Manifests()
	if err != nil {
		return nil, err
	}
	byKey := map[memo.Key]memo.Manifest{}
	for _, m := range all {
		byKey[m.Key] = m
	}
	f := &forgetter{ctx: ctx, store: store, whom: whom, sent: map[message]bool{}, meant: map[string]bool{}}
	list := inOrder(byKey)
	if whom.Author != "" {
		if err := f.findAuthor(list); err != nil {
			return nil, err
		}
	}
	t := &Touched{Author: whom.Author, Stream: whom.Stream, Steps: []TouchedStep{}, Recipes: []string{}}
	touched := map[memo.Key]bool{}
	for _, m := range list {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		step := TouchedStep{Verb: m.Verb, Label: m.Label, Key: m.Key, Rows: map[string]int{}}
		tables := false
		for _, o := range m.Outputs {
			n, isTable, err := f.count(m, o)
			if err != nil {
				return nil, err
			}
			tables = tables || isTable
			if n > 0 {
				step.Rows[o.Name] = n
			}
		}
		hit := len(step.Rows) > 0
		switch {
		case m.Verb == "load":
			if whom.Stream != "" {
				f.meant[m.Label] = true
			}
			hit = hit || whom.Stream != "" && m.Label == whom.Stream
		case tables: // holds rows of theirs, or none
		case m.Verb == "transcribe": // what was said, not who wrote
			hit = whom.Stream != "" && anyOf(touched, m.Reads)
		default:
			hit = anyOf(touched, m.Reads)
		}
		if hit {
			touched[m.Key] = true
			t.Steps = append(t.Steps, step)
		}
	}
	roots, err := store.Roots()
	if err != nil {
		return nil, err
	}
	for _, r := range roots {
		if !r.Until.IsZero() { // a notebook's session, or a try that did not end well: nothing can run it again
			continue
		}
		if slices.ContainsFunc(r.Keys, func(k memo.Key) bool { _, there := byKey[k]; return touched[k] || !there }) {
			t.Recipes = append(t.Recipes, r.Name)
		}
	}
	t.salts = f.salts
	if len(t.Steps) == 0 {
		t.Meant = slices.Sorted(maps.Keys(f.meant))
		stones, err := store.Tombstones()
		if err != nil {
			return nil, err
		}
		t.Gone = slices.ContainsFunc(stones, func(s memo.Tombstone) bool { return s.Author == whom.Author && s.Stream == whom.Stream })
	}
	return t, nil
}

func anyOf(set map[memo.Key]bool, keys []memo.Key) bool {
	return slices.ContainsFunc(keys, func(k memo.Key) bool { return set[k] })
}

// message is one of a stream's chat.
type message struct{ stream, id string }

type forgetter struct {
	ctx   context.Context
	store *memo.Store
	whom  Whom
	sent  map[message]bool // the author's
	salts []string         // under which one of these has the author's hash
	meant map[string]bool  // see Touched.Meant
}

// findAuthor finds the messages that an author's hash stands for, under each salt that a stored step used.
func (f *forgetter) findAuthor(list []memo.Manifest) error {
	salts := []string{""} // the default
	for _, m := range list {
		var o struct{ Salt string }
		for _, p := range m.Parts {
			if m.Verb == "align" && p.Name == "options" && json.Unmarshal([]byte(p.Value), &o) == nil && !slices.Contains(salts, o.Salt) {
				salts = append(salts, o.Salt)
			}
		}
	}
	used := map[string]bool{}
	for _, m := range list {
		if m.Verb != "load" {
			continue
		}
		messages, err := f.messages(m)
		if err != nil {
			return err
		}
		for i := range messages {
			author := &messages[i].Author
			named := f.whom.Author == author.ID || strings.EqualFold(f.whom.Author, author.Login) || strings.EqualFold(f.whom.Author, author.Name)
			for _, salt := range salts {
				hash := align.AuthorHash(salt, author)
				if named {
					f.meant[hash] = true
				}
				if hash == f.whom.Author {
					f.sent[message{m.Label, messages[i].ID}] = true
					used[salt] = true
				}
			}
		}
	}
	f.salts = slices.Sorted(maps.Keys(used))
	return nil
}

func (f *forgetter) messages(m memo.Manifest) ([]chat.Message, error) {
	o, err := m.Output("messages.parquet")
	if err != nil {
		return nil, nil // a stream without chat
	}
	return readTable(f.store, o, chat.ReadParquet)
}

// readTable reads a table of the store.
func readTable[T any](store *memo.Store, o memo.Output, read func(io.ReaderAt, int64) ([]T, error)) ([]T, error) {
	r, err := store.OpenObject(o)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	rows, err := read(r, o.Size)
	if err != nil {
		return nil, &problem.Error{Op: "read " + o.Name, Path: string(o.Digest[:12]), Err: err}
	}
	return rows, nil
}

// count says how many rows of an output are theirs, and whether the output is a table that says whose its rows are.
func (f *forgetter) count(m memo.Manifest, o memo.Output) (n int, isTable bool, err error) {
	switch o.Name {
	case "messages.parquet":
		messages, err := f.messages(m)
		if err != nil {
			return 0, true, err
		}
		for i := range messages {
			if f.whom.Stream != "" && m.Label == f.whom.Stream || f.sent[message{m.Label, messages[i].ID}] {
				n++
			}
		}
		return n, true, nil
	case "pairs.parquet":
		pairs, err := readTable(f.store, o, align.ReadPairs)
		for i := range pairs {
			if p := &pairs[i]; f.whom.Stream != "" && p.Stream == f.whom.Stream || f.whom.Author != "" && p.AuthorHash == f.whom.Author {
				n++
			}
		}
		return n, true, err
	case "rows.parquet":
		rows, err := readTable(f.store, o, dataset.Read)
		for i := range rows {
			if r := &rows[i]; f.whom.Stream != "" && r.Stream == f.whom.Stream || f.whom.Author != "" && r.AuthorHash == f.whom.Author {
				n++
			}
		}
		return n, true, err
	case "dropped.parquet":
		type dropped struct {
			Stream    string `parquet:"stream"`
			MessageID string `parquet:"message_id"`
		}
		rows, err := readTable(f.store, o, func(r io.ReaderAt, size int64) ([]dropped, error) { return parquet.Read[dropped](r, size) })
		for _, r := range rows {
			if r.Stream == f.whom.Stream || f.sent[message{r.Stream, r.MessageID}] {
				n++
			}
		}
		return n, true, err
	}
	return 0, false, nil
}

// Write says what is touched, and how it is made anew without them.
func (t *Touched) Write(w io.Writer) error {
	who := "author " + t.Author
	if t.Stream != "" {
		who = "stream " + t.Stream
	}
	if len(t.Steps) == 0 {
		hint := "an author is named by the hash that author_hash in the tables has"
		switch {
		case t.Gone:
			hint = "forgotten before, and left out by Load since then"
		case len(t.Meant) > 0 && t.Stream != "":
			hint = "it has " + some(t.Meant)
		case len(t.Meant) > 0:
			hint = fmt.Sprintf("whom chat knows as %s, the tables know as %s", t.Author, some(t.Meant))
		case t.Stream != "":
			hint = "it has no streams"
		}
		_, err := fmt.Fprintf(w, "nothing in this store is of %s: %s\n", who, hint)
		return err
	}
	fmt.Fprintf(w, "%d steps hold something of %s, or were made of it\n", len(t.Steps), who)
	for _, s := range t.Steps {
		fmt.Fprintf(w, "  %s  %-10s %s\n", s.Key.Short(), s.Verb, s.Label)
		for _, name := range sortedNames(s.Rows) {
			fmt.Fprintf(w, "                %d rows of %s\n", s.Rows[name], name)
		}
	}
	fmt.Fprintln(w, "recipe forget --rebuild removes these steps, leaves them out of whatever Load reads from now on, and runs again")
	if len(t.Recipes) == 0 {
		fmt.Fprintln(w, "  nothing: no recipe's last run needs them")
	}
	for _, r := range t.Recipes {
		fmt.Fprintf(w, "  %s\n", r)
	}
	_, err := fmt.Fprintln(w, outside)
	return err
}

// some are the first few names of a list.
func some(names []string) string {
	const most = 8
	if n := len(names); n > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), n-most)
	}
	return strings.Join(names, ", ")
}

// WriteOutside says what a removal did not reach.
func WriteOutside(w io.Writer, store *memo.Store) error {
	text := outside
	if store.Shared() != "" {
		text += "\nsteps in the shared store that this store never had are still there: recipe cache pull brings them, then forget again"
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// outside is what a store does not hold.
const outside = "what was exported before is a copy, and so are saved notebooks and the chat logs themselves: delete them, or let the run write over them"

// Removed is what a removal took away.
type Removed struct {
	Touched
	Steps   int   `json:"removed_steps"`
	Objects int   `json:"removed_objects"`
	Bytes   int64 `json:"removed_bytes"` // of these
}

// Remove forgets for good: it writes a tombstone, so that Load leaves out whom it is about, and then removes every step
// that is touched, here and in the remote behind the store if there is one. Broken off, it can be done again. What is to
// be run again is in Recipes of the result.
func Remove(ctx context.Context, store *memo.Store, whom Whom) (*Removed, error) {
	t, err := Forget(ctx, store, whom)
	if err != nil {
		return nil, err
	}
	r := &Removed{Touched: *t}
	if len(t.Steps) == 0 {
		return r, nil
	}
	stones := []memo.Tombstone{{Stream: whom.Stream}}
	if whom.Author != "" {
		stones = nil
		for _, salt := range t.salts {
			stones = append(stones, memo.Tombstone{Author: whom.Author, Salt: salt})
		}
		if len(stones) == 0 { // results without the chat that they were made of
			stones = []memo.Tombstone{{Author: whom.Author}}
		}
	}
	if err := store.Bury(ctx, stones...); err != nil {
		return nil, err
	}
	if store.Shared() != "" {
		if err := withdraw(ctx, store, t); err != nil {
			return nil, err
		}
	}
	keys := make([]memo.Key, len(t.Steps))
	for i, s := range t.Steps {
		keys[i] = s.Key
	}
	gone, err := store.Remove(ctx, keys)
	if err != nil {
		return nil, err
	}
	r.Steps, r.Objects, r.Bytes = gone.Manifests, gone.Objects, gone.Bytes
	left, err := Forget(ctx, store, whom)
	if err == nil && len(left.Steps) > 0 {
		err = &problem.Error{Op: "forget", Path: store.Dir(), Err: fmt.Errorf("%d steps with something of theirs came meanwhile", len(left.Steps)), Fix: "do it again when nothing else uses the store"}
	}
	return r, err
}

// withdraw removes the touched steps from the remote.
func withdraw(ctx context.Context, store *memo.Store, t *Touched) error {
	theirs := map[memo.Key]bool{}
	for _, s := range t.Steps {
		theirs[s.Key] = true
	}
	all, err := store.Manifests()
	if err != nil {
		return err
	}
	var steps []memo.Manifest
	others := map[memo.Digest]bool{}
	for _, m := range all {
		if theirs[m.Key] {
			steps = append(steps, m)
			continue
		}
		for _, o := range m.Outputs {
			others[o.Digest] = true
		}
	}
	return store.Withdraw(ctx, steps, func(d memo.Digest) bool { return others[d] })
}

// Again says how the last run of a recipe was called: the folder that it ran in, and its options.
func Again(store *memo.Store, name string) (dir string, o Options, err error) {
	root, ok, err := store.Root(name)
	switch {
	case err != nil:
		return "", o, err
	case !ok || root.About["dir"] == "" || filepath.Ext(name) != ".go":
		return "", o, &problem.Error{Op: "run again", Path: name, Err: errors.New("how it was run is not known"), Fix: "run it yourself"}
	}
	o = Options{Store: store.Dir(), Out: root.About["out"], Params: map[string]string{}}
	for about, value := range root.About {
		if name, ok := strings.CutPrefix(about, "set."); ok {
			o.Params[name] = value
		}
	}
	return root.About["dir"], o, nil
}
