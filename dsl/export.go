package dsl

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"banter/dsl/memo"
	"banter/stdlib/speech"
)

// Exportable is a value whose files can be written to the out folder.
type Exportable interface{ manifest() memo.Manifest }

func (p Pairs) manifest() memo.Manifest   { return p.step }
func (r Rows) manifest() memo.Manifest    { return r.step }
func (t Tuned) manifest() memo.Manifest   { return t.step }
func (s Samples) manifest() memo.Manifest { return s.step }

// Export writes a value's files to the out folder: all of them into the folder name, or, where name has an ending, the
// one with that ending. Each file appears complete or not at all. A trained adapter gets a model card, README.md, and with
// options takes other forms: Merged, GGUF, Ollama.
func Export(v Exportable, name string, options ...ExportOption) {
	s := current()
	m := v.manifest()
	t, tuned := v.(Tuned)
	var o exportOptions
	for _, set := range options {
		set(&o)
	}
	var err error
	switch {
	case m.Key == "":
		err = memo.ErrNeverMade
	case !tuned && len(options) > 0:
		err = fmt.Errorf("a %T has one form: Merged, GGUF, Ollama, SystemPrompt and Measured are for what Train gives", v)
	case tuned && (o.Form != "" || filepath.Ext(name) == "" || filepath.Base(name) == "README.md"):
		var made memo.Manifest
		if made, err = s.exportTuned(t, o); err == nil && o.Form == "" {
			m.Outputs = append(slices.Clone(m.Outputs), made.Outputs...)
		} else {
			m = made
		}
	}
	if err == nil {
		err = s.export(m, name)
	}
	if err != nil {
		fail("export", name, err)
	}
}

// inOut is the place of name in the out folder, which it must not leave.
func (s *Session) inOut(name string) (string, error) {
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("%q is not a path inside the out folder", name)
	}
	return filepath.Join(s.out, name), nil
}

func (s *Session) export(m memo.Manifest, name string) error {
	path, err := s.inOut(name)
	if err != nil {
		return err
	}
	if s.dry {
		return nil
	}
	ext := filepath.Ext(name)
	if ext == "" {
		for _, o := range m.Outputs {
			if err := s.store.Copy(o, filepath.Join(path, o.Name)); err != nil {
				return err
			}
		}
		s.exported(path)
		return nil
	}
	var found []memo.Output
	for _, o := range m.Outputs {
		if o.Name == filepath.Base(name) {
			found = []memo.Output{o}
			break
		}
		if strings.HasSuffix(o.Name, ext) {
			found = append(found, o)
		}
	}
	if len(found) != 1 {
		var names []string
		for _, o := range m.Outputs {
			names = append(names, o.Name)
		}
		return fmt.Errorf("%d of its files end in %s (it has %s): name one of these, or a folder for all", len(found), ext, strings.Join(names, ", "))
	}
	if err := s.store.Copy(found[0], path); err != nil {
		return err
	}
	s.exported(path)
	return nil
}

func (s *Session) exported(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exports = append(s.exports, path)
}

// writeOut writes a file of the out folder.
func (s *Session) writeOut(name string, write func(io.Writer) error) error {
	path, err := s.inOut(name)
	if err != nil {
		return err
	}
	if s.dry {
		return nil
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	if err := memo.WriteFile(path, &b); err != nil {
		return err
	}
	s.exported(path)
	return nil
}

// ExportSubtitles writes each transcript to the out folder as folder/ID.vtt and folder/ID.srt.
func ExportSubtitles(t Transcripts, folder string) {
	s := current()
	for i, l := range t.streams.list {
		words, err := s.transcript(t.list[i])
		if err == nil {
			err = s.writeOut(filepath.Join(folder, l.info.ID+".vtt"), func(w io.Writer) error { return speech.WriteVTT(w, words) })
		}
		if err == nil {
			err = s.writeOut(filepath.Join(folder, l.info.ID+".srt"), func(w io.Writer) error { return speech.WriteSRT(w, words) })
		}
		if err != nil {
			fail("export", l.info.ID, err)
		}
	}
}

// Output names the values that a notebook is about. It does nothing: recipe freeze keeps what they are made from.
func Output(values ...any) {}
