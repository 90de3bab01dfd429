package recipe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

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
	Recipes []string      `json:"recipes"` // whose last run needs one of the steps
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
	f := &forgetter{ctx: ctx, store: store, whom: whom, sent: map[message]bool{}, ids: map[string]bool{}}
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
	names, err := store.RootNames()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		keys, _, err := store.Roots(name)
		if err != nil {
			return nil, err
		}
		if anyOf(touched, keys) {
			t.Recipes = append(t.Recipes, name)
		}
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
	sent  map[message]bool // the author's, as far as pairs name them
	ids   map[string]bool  // the author's ids on chat platforms
}

// findAuthor learns from the pairs which messages an author's hash stands for, and from these who it is.
func (f *forgetter) findAuthor(list []memo.Manifest) error {
	for _, m := range list {
		for _, o := range m.Outputs {
			if o.Name != "pairs.parquet" {
				continue
			}
			pairs, err := readTable(f.store, o, align.ReadPairs)
			if err != nil {
				return err
			}
			for _, p := range pairs {
				if p.AuthorHash == f.whom.Author {
					f.sent[message{p.Stream, p.MessageID}] = true
				}
			}
		}
	}
	for _, m := range list {
		if m.Verb != "load" {
			continue
		}
		messages, err := f.messages(m)
		if err != nil {
			return err
		}
		for i := range messages {
			if id := messages[i].Author.ID; id != "" && f.sent[message{m.Label, messages[i].ID}] {
				f.ids[id] = true
			}
		}
	}
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
			if f.whom.Stream != "" && m.Label == f.whom.Stream || f.ids[messages[i].Author.ID] || f.sent[message{m.Label, messages[i].ID}] {
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
		_, err := fmt.Fprintf(w, "nothing in this store is of %s\n", who)
		return err
	}
	fmt.Fprintf(w, "%d steps hold something of %s, or were made of it\n", len(t.Steps), who)
	for _, s := range t.Steps {
		fmt.Fprintf(w, "  %s  %-10s %s\n", s.Key.Short(), s.Verb, s.Label)
		for _, name := range sortedNames(s.Rows) {
			fmt.Fprintf(w, "                %d rows of %s\n", s.Rows[name], name)
		}
	}
	fmt.Fprintln(w, "to make all of it anew without them:")
	if t.Stream != "" {
		fmt.Fprintf(w, "  1. take the folder or the recording of stream %s away from what Load reads\n", t.Stream)
	} else {
		fmt.Fprintf(w, "  1. take their messages out of the chat logs; or leave them in the logs and write NoBots(%q) into Filter,\n     which keeps them out of every pair, row and adapter, but not out of the results of load and align\n", t.Author)
	}
	if len(t.Recipes) == 0 {
		fmt.Fprintln(w, "  2. run again what made these steps")
	}
	for _, r := range t.Recipes {
		fmt.Fprintf(w, "  2. recipe run %s\n", r)
	}
	_, err := fmt.Fprintln(w, "  3. recipe cache gc --budget 0, which removes every result that no recipe's last run needs\nwhat was exported before is a copy: delete it, or let the run write over it")
	return err
}
