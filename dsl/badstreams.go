package dsl

import (
	"errors"
	"fmt"
	"strings"

	"banter/dsl/memo"
)

// Skipped is a stream that Load left out under SkipBad.
type Skipped struct {
	ID  string
	Why string // what could not be read, where, and what to do about it
}

// Skipped lists the streams that SkipBad left out, in order of their ids.
func (s Streams) Skipped() []Skipped { return append([]Skipped(nil), s.skipped...) }

// SkipBad leaves out streams whose files cannot be read, or of which it is not clear which is which, in place of ending with
// an error that lists them. What was left out, and why, is said in the run, where the streams are shown and in the report.
// What cannot be written to the store is an error all the same.
func SkipBad() LoadOption { return loadOption(func(o *loadOptions) { o.skipBad = true }) }

// unreadable is an error that a stream's own files are to blame for, and not the store.
type unreadable struct{ error }

func (u unreadable) Unwrap() error { return u.error }

// badStreams are the streams that Load cannot read, in order of their ids.
type badStreams struct {
	bad []error
	of  int // streams there are
}

// maxTold is how many bad streams an error tells.
const maxTold = 20

func (b *badStreams) Error() string {
	if len(b.bad) == 1 {
		return fmt.Sprintf("1 of %d streams cannot be read (put it right, or leave it out by SkipBad()): %s", b.of, oneLine(b.bad[0]))
	}
	lines := []string{fmt.Sprintf("%d of %d streams cannot be read (put them right, or leave them out by SkipBad()):", len(b.bad), b.of)}
	for _, err := range b.bad[:min(len(b.bad), maxTold)] {
		lines = append(lines, "  "+oneLine(err))
	}
	if more := len(b.bad) - maxTold; more > 0 {
		lines = append(lines, fmt.Sprintf("  and %d more", more))
	}
	return strings.Join(lines, "\n")
}

func (b *badStreams) Unwrap() []error { return b.bad }

// oneLine is an error of a stream behind its id, on one line.
func oneLine(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return inert(e.Label, 60) + ": " + inert(e.Err.Error(), 600)
	}
	return inert(err.Error(), 600)
}

// loadAll reads all streams of a pattern that can be read. All that cannot are told at once, or come back as skipped.
func (s *Session) loadAll(pattern string, files []found, o loadOptions, without forgotten) (list []loaded, skipped []Skipped, err error) {
	all, failed := make([]loaded, len(files)), make([]error, len(files))
	err = s.each(len(files), func(s *Session, i int) (err error) {
		if err = files[i].unclear; err != nil {
			err = &Error{Verb: "load", Label: files[i].id, Err: unreadable{err}}
		} else {
			all[i], err = s.load(files[i], o, without)
		}
		if _, bad := errors.AsType[unreadable](err); bad && s.ctx.Err() == nil {
			failed[i], err = err, nil
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	twins := map[memo.Digest]string{}
	for i, l := range all {
		if failed[i] != nil {
			continue
		}
		if twin, ok := twins[l.info.Recording.SHA256]; ok {
			failed[i] = &Error{Verb: "load", Label: l.info.ID, Err: unreadable{fmt.Errorf("streams %s and %s are the same recording (SHA-256 %.12s): remove one", twin, l.info.ID, l.info.Recording.SHA256)}}
			continue
		}
		twins[l.info.Recording.SHA256] = l.info.ID
	}
	var bad []error
	for i, l := range all {
		if failed[i] == nil {
			list = append(list, l)
			continue
		}
		bad = append(bad, failed[i])
		_, why, _ := strings.Cut(oneLine(failed[i]), ": ")
		skipped = append(skipped, Skipped{ID: files[i].id, Why: why})
	}
	switch {
	case len(bad) == 0:
	case len(files) == 1:
		return nil, nil, bad[0]
	case !o.skipBad || len(list) == 0:
		return nil, nil, &Error{Verb: "load", Label: pattern, Err: &badStreams{bad, len(files)}}
	}
	return list, skipped, nil
}
