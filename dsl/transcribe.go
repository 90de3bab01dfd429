package dsl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"banter/dsl/memo"
	"banter/internal/problem"
	"banter/internal/progress"
	"banter/internal/worker/native"
	"banter/stdlib/media"
	"banter/stdlib/models"
	"banter/stdlib/speech"
)

// Transcripts are the words of each of some streams.
type Transcripts struct {
	streams Streams
	list    []memo.Manifest // in the order of streams
}

// TranscribeOption changes how Transcribe works.
type TranscribeOption func(*transcribeOptions)

type transcribeOptions struct {
	model    string
	vad      string
	language string
	prompt   string
	beam     int
	context  int
	gates    *speech.Gates
	gpu      bool
}

// Model names the speech model: a name of `recipe models list`, or a path. The default is asr-micro, which ships with
// Banter and knows 152 words: it is for trying things out.
func Model(name string) TranscribeOption { return func(o *transcribeOptions) { o.model = name } }

// VAD finds where somebody speaks before it is transcribed, by the Silero model, or by the model named.
func VAD(model ...string) TranscribeOption {
	return func(o *transcribeOptions) {
		o.vad = "silero-v6.2.0"
		if len(model) > 0 {
			o.vad = model[0]
		}
	}
}

// Language says which language is spoken, as ISO 639-1. Without it the model decides.
func Language(code string) TranscribeOption { return func(o *transcribeOptions) { o.language = code } }

// Prompt names words and names to expect.
func Prompt(text string) TranscribeOption { return func(o *transcribeOptions) { o.prompt = text } }

// Beam is the width of the beam search; 1 is greedy, which is faster.
func Beam(width int) TranscribeOption { return func(o *transcribeOptions) { o.beam = width } }

// TextContext gives the model the last tokens of what was said before, which helps large models and harms small ones.
func TextContext(tokens int) TranscribeOption {
	return func(o *transcribeOptions) { o.context = tokens }
}

// Gates are what makes a segment's words be withheld, because recognisers invent text where nobody speaks.
type Gates = speech.Gates

// GatedBy sets the gates.
func GatedBy(g Gates) TranscribeOption { return func(o *transcribeOptions) { o.gates = &g } }

// GPU computes on a GPU where there is one.
func GPU() TranscribeOption { return func(o *transcribeOptions) { o.gpu = true } }

const wordsFile = "words.parquet"

// Transcribe writes down what is said in each stream: words with start, end and probability.
func Transcribe(streams Streams, options ...TranscribeOption) Transcripts {
	s := current()
	o := transcribeOptions{model: "asr-micro"}
	for _, set := range options {
		set(&o)
	}
	if streams.Len() == 0 {
		fail("transcribe", "", memo.ErrNeverMade)
	}
	resolved, err := s.speechOptions(o)
	if err != nil {
		fail("transcribe", o.model, err)
	}
	engine, err := s.engineIdentity()
	if err != nil {
		fail("transcribe", "", err)
	}
	words := Transcripts{streams, make([]memo.Manifest, streams.Len())}
	err = s.each(streams.Len(), func(s *Session, i int) error {
		m, err := s.transcribe(streams.list[i], resolved, engine)
		words.list[i] = m
		return err
	})
	if err != nil {
		fail("transcribe", "", err)
	}
	for i, l := range streams.list {
		var facts transcriptFacts
		if err := words.list[i].DecodeFacts(&facts); err != nil {
			fail("transcribe", l.info.ID, err)
		}
		if text := facts.withheldText(); text != "" {
			s.note("transcribe", l.info.ID, "%s", text)
		}
		for _, w := range facts.Warnings {
			s.note("transcribe", l.info.ID, "%s", w)
		}
	}
	return words
}

// speechOptions finds the models and fills in what suits them.
func (s *Session) speechOptions(o transcribeOptions) (speech.Options, error) {
	m, err := models.Resolve(s.ctx, o.model)
	if err != nil {
		return speech.Options{}, err
	}
	r := speech.NewOptions(m)
	if o.vad != "" {
		vad, err := models.Resolve(s.ctx, o.vad)
		if err != nil {
			return r, err
		}
		r.VAD = &vad
	}
	if o.language != "" {
		r.Language = o.language
	}
	r.Prompt, r.GPU = o.prompt, o.gpu
	if o.beam > 0 {
		r.Beam = o.beam
	}
	if o.context > 0 {
		r.Context = o.context
	}
	if o.gates != nil {
		r.Gates = *o.gates
	}
	return r, nil
}

// engineIdentity is what of the native engine can change the words: the libraries' versions and what they compute with.
func (s *Session) engineIdentity() (string, error) {
	raw, _, err := s.pool.Call(s.ctx, native.MethodInfo, nil, nil)
	if err != nil {
		return "", err
	}
	var info native.Info
	if err := json.Unmarshal(raw, &info); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "whisper %s, ggml %s", info.Whisper, info.GGML)
	for _, backend := range info.Backends {
		fmt.Fprintf(&b, ", %s", backend.Name)
	}
	return b.String(), nil
}

// transcriptFacts are shown without reading the words.
type transcriptFacts struct {
	Words    int            `json:"words"`
	Segments int            `json:"segments"`
	Withheld map[string]int `json:"withheld,omitempty"` // words by gate
	Warnings []string       `json:"warnings,omitempty"` // what only decoding found, such as a packet that is whole and does not decode
}

func (f transcriptFacts) withheldText() string {
	var parts []string
	for gate, n := range f.Withheld {
		parts = append(parts, fmt.Sprintf("%s (%s)", plural(n, "word"), gate))
	}
	if len(parts) == 0 {
		return ""
	}
	slices.Sort(parts)
	return "withheld as not to be trusted: " + strings.Join(parts, ", ")
}

// modelIdentity is a model without the place where it lies.
type modelIdentity struct {
	SHA256 string        `json:"sha256"`
	Quirks models.Quirks `json:"quirks"`
}

func identityOf(m models.Model) modelIdentity { return modelIdentity{m.SHA256, m.Quirks} }

func (s *Session) transcribe(l loaded, o speech.Options, engine string) (memo.Manifest, error) {
	file, err := s.store.File(s.ctx, l.files.recording)
	if err == nil && file.Digest != l.info.Recording.SHA256 {
		err = errors.New("the recording changed after Load read it: load it again")
	}
	if err != nil {
		return memo.Manifest{}, &Error{Verb: "transcribe", Label: l.info.ID, Err: err}
	}
	plain := o
	plain.Model, plain.VAD = models.Model{}, nil // paths are no part of the identity, digests are
	step := memo.Step{Verb: "transcribe", Label: l.info.ID, Reads: []memo.Key{l.step.Key}, Recheck: file.Unchanged,
		Varies: "whisper.cpp's arithmetic rounds differently on other processors"}.
		With("input.recording", file.Digest).With("track", l.info.Recording.Track).With("model", identityOf(o.Model)).
		With("options", plain).With("engine", engine)
	if c := l.info.Recording.Channel; c != 0 {
		step = step.With("channel", c)
	}
	if l.info.Recording.Strict {
		step = step.With("strict", true)
	}
	if o.VAD != nil {
		step = step.With("vad", identityOf(*o.VAD))
	}
	return s.do(step, func(ctx context.Context, d *memo.Draft) error {
		audio, err := media.Open(ctx, l.files.recording, l.info.Recording.listen())
		if err != nil {
			return err
		}
		defer audio.Close()
		o.Threads = max(1, s.cores()/max(1, min(s.jobs, s.cores())))
		ctx = progress.WithTotal(ctx, int64(l.info.Recording.Duration().Seconds()))
		t, err := speech.Transcribe(ctx, s.pool, audio, o)
		if err != nil {
			return err
		}
		found := slices.DeleteFunc(slices.Clone(audio.Info().Warnings), func(w string) bool { return slices.Contains(l.info.Warnings, w) })
		return writeTranscript(d, t, found)
	})
}

func writeTranscript(d *memo.Draft, t *speech.Transcript, warnings []string) error {
	facts := transcriptFacts{Words: len(t.Words), Segments: len(t.Segments), Withheld: map[string]int{}, Warnings: warnings}
	for _, seg := range t.Segments {
		if seg.Gate != "" {
			facts.Withheld[seg.Gate] += seg.Withheld
		}
	}
	if err := d.Facts(facts); err != nil {
		return err
	}
	return d.Write(wordsFile, func(w io.Writer) error { return speech.WriteParquet(w, t) })
}

// Words takes transcripts that other tools made, such as "whisperx/*.json": WhisperX, whisper.cpp and OpenAI JSON, WebVTT
// and SRT. A file belongs to the stream whose id its name is, with or without a language as in vod.en.vtt. Of a folder, the
// files named so are taken, or else the one in the sub-folder that has the stream's id for a name: a .vtt or .srt file, or a
// transcript.json.
func Words(streams Streams, pattern string) Transcripts {
	s := current()
	if streams.Len() == 0 {
		fail("transcribe", pattern, memo.ErrNeverMade)
	}
	paths, err := transcriptFiles(streams, pattern)
	if err != nil {
		fail("transcribe", pattern, err)
	}
	words := Transcripts{streams, make([]memo.Manifest, streams.Len())}
	err = s.each(streams.Len(), func(s *Session, i int) error {
		id := streams.list[i].info.ID
		file, err := s.store.File(s.ctx, paths[i])
		if err != nil {
			return &Error{Verb: "transcribe", Label: id, Err: err}
		}
		step := memo.Step{Verb: "transcribe", Label: id, Reads: []memo.Key{streams.list[i].step.Key}, Recheck: file.Unchanged}.
			With("input.transcript", file.Digest)
		words.list[i], err = s.do(step, func(ctx context.Context, d *memo.Draft) error {
			f, err := os.Open(paths[i])
			if err != nil {
				return err
			}
			defer f.Close()
			t, err := speech.Import(f)
			var p *problem.Error
			if errors.As(err, &p) {
				p.Path = paths[i]
			}
			if err != nil {
				return err
			}
			return writeTranscript(d, t, nil)
		})
		return err
	})
	if err != nil {
		fail("transcribe", pattern, err)
	}
	return words
}

// transcriptFiles finds the transcript of each stream.
func transcriptFiles(streams Streams, pattern string) ([]string, error) {
	info, err := os.Stat(pattern)
	folder := err == nil && info.IsDir()
	var all []string
	switch {
	case folder:
		if all, err = transcriptsIn(pattern, ".json", ".vtt", ".srt"); err != nil {
			return nil, err
		}
	case err == nil: // a name that holds a bracket is itself
		all = []string{pattern}
	default:
		if all, err = filepath.Glob(pattern); err != nil {
			return nil, fmt.Errorf("%w: see the patterns of path/filepath.Match", err)
		}
		if len(all) == 0 {
			return nil, errors.New("there is no such folder or file, and no file matches it as a pattern: name a folder, or files such as whisperx/*.json")
		}
	}
	out := make([]string, streams.Len())
	for i, l := range streams.list {
		own := slices.DeleteFunc(slices.Clone(all), func(path string) bool {
			name := stem(path) // whisper.cpp writes vod.wav.json beside vod.wav
			return name != l.info.ID && withoutLanguage(name) != l.info.ID && name != filepath.Base(l.files.recording) || sameFile(path, l.files.chat)
		})
		if len(all) == 1 && streams.Len() == 1 && !folder {
			own = all // there is nothing to mistake it for
		}
		if folder && len(own) == 0 {
			if own, err = transcriptsIn(filepath.Join(pattern, l.info.ID), ".vtt", ".srt"); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			for _, name := range []string{"script.vtt", "transcript.vtt", "transcript.json", "transcript.srt"} {
				if path := filepath.Join(pattern, l.info.ID, name); fileExists(path) {
					own = []string{path}
					break
				}
			}
		}
		switch len(own) {
		case 1:
			out[i] = own[0]
		case 0:
			return nil, fmt.Errorf("no transcript for stream %s: want a file named %s.json, .vtt, .en.vtt or .srt, or a folder %s with one .vtt or .srt file or a transcript.json",
				l.info.ID, l.info.ID, l.info.ID)
		default:
			return nil, fmt.Errorf("stream %s has several transcripts (%s): leave one, or name it by a pattern such as *.en.vtt", l.info.ID, strings.Join(bases(own), ", "))
		}
	}
	return out, nil
}

// transcriptsIn lists the files of a folder that may be transcripts.
func transcriptsIn(dir string, extensions ...string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); slices.Contains(extensions, strings.ToLower(filepath.Ext(path))) && !strings.HasPrefix(e.Name(), ".") && fileExists(path) {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// withoutLanguage cuts the language off a name such as "vod.en" or "vod.pt-BR", as subtitles are named.
func withoutLanguage(name string) string {
	rest, tag := strings.TrimSuffix(name, filepath.Ext(name)), strings.TrimPrefix(filepath.Ext(name), ".")
	primary, _, _ := strings.Cut(tag, "-")
	if len(primary) < 2 || len(primary) > 3 || strings.ToLower(primary) != primary || strings.ContainsAny(primary, "0123456789") {
		return name
	}
	return rest
}

// sameFile says whether two paths name one file that is there.
func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

func fileExists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// Transcript returns the words of the stream with the given id.
func (t Transcripts) Transcript(id string) *speech.Transcript {
	for i, l := range t.streams.list {
		if l.info.ID == id {
			words, err := current().transcript(t.list[i])
			if err != nil {
				fail("transcribe", id, err)
			}
			return words
		}
	}
	fail("transcribe", id, t.streams.unknown(id))
	return nil
}

// Streams are the streams that were transcribed.
func (t Transcripts) Streams() Streams { return t.streams }

func (s *Session) transcript(m memo.Manifest) (*speech.Transcript, error) {
	o, err := m.Output(wordsFile)
	if err != nil {
		return nil, err
	}
	return load(&s.decode, o.Digest, func() (*speech.Transcript, error) {
		f, err := s.store.OpenObject(o)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return speech.ReadParquet(f, o.Size)
	})
}
