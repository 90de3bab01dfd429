package dsl

import (
	"bytes"
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
	"time"
	"unicode/utf8"

	"banter/dsl/memo"
	"banter/internal/problem"
	"banter/stdlib/chart"
	"banter/stdlib/chat"
	"banter/stdlib/media"
)

// Streams are recordings with their chat logs, as Load found them.
type Streams struct {
	list []loaded
}

// loaded is one stream: where its files lie in this run, and the step that read them.
type loaded struct {
	files found
	step  memo.Manifest
	info  Stream
}

// Stream says what one stream is. Times are stream time.
type Stream struct {
	ID        string    `json:"id"`
	Recording Recording `json:"recording"`
	Chat      *ChatLog  `json:"chat,omitempty"`
	Truth     *Truth    `json:"truth,omitempty"`
	Warnings  []string  `json:"warnings,omitempty"` // what does not fit, with numbers
}

// Recording describes a recording.
type Recording struct {
	SHA256     memo.Digest `json:"sha256"`
	Bytes      int64       `json:"bytes"`
	Container  string      `json:"container"`
	Codec      string      `json:"codec"`
	DurationMS int64       `json:"duration_ms"`
	SampleRate int         `json:"sample_rate"` // Hz, as stored
	Channels   int         `json:"channels"`
	Track      int         `json:"track"`
}

// Duration is how long the recording is.
func (r Recording) Duration() time.Duration { return time.Duration(r.DurationMS) * time.Millisecond }

// ChatLog describes a chat log.
type ChatLog struct {
	SHA256    memo.Digest `json:"sha256"`
	Bytes     int64       `json:"bytes"`
	Format    string      `json:"format"`
	Version   string      `json:"version,omitempty"`
	VideoID   string      `json:"video_id,omitempty"`
	Title     string      `json:"title,omitempty"`
	Streamer  string      `json:"streamer,omitempty"`
	Messages  int         `json:"messages"`
	FirstMS   int64       `json:"first_ms"` // time of the first and last message
	LastMS    int64       `json:"last_ms"`
	Summary   string      `json:"summary"` // what was read and dropped
	Clock     string      `json:"clock"`   // what was made of the log's times
	Malformed []string    `json:"malformed,omitempty"`

	// Where the log's wall clock and the video part: cuts, interruptions, drift. Empty where they run side by side.
	ClockSpans []ClockSpan `json:"clock_spans,omitempty"`
	DriftPPM   float64     `json:"drift_ppm,omitempty"` // growth of the difference within a span, parts per million
}

// ClockSpan is a stretch over which a chat log's wall clock and the video run side by side.
type ClockSpan struct {
	FromMS   int64 `json:"from_ms"` // moments of the video
	ToMS     int64 `json:"to_ms"`
	ApartMS  int64 `json:"apart_ms"` // wall clock minus video at the beginning, against the first span's
	SpreadMS int64 `json:"spread_ms"`
	Messages int64 `json:"messages"`
}

// maxClockSpans is how many spans are kept to be shown.
const maxClockSpans = 1000

// clockChart draws how the log's wall clock and the video part, where they do.
func (c *ChatLog) clockChart(stream string) (chart.Chart, bool) {
	if c == nil || len(c.ClockSpans) == 0 {
		return chart.Chart{}, false
	}
	spans := make([]chart.ClockSpan, len(c.ClockSpans))
	for i, s := range c.ClockSpans {
		spans[i] = chart.ClockSpan{From: milliseconds(s.FromMS), To: milliseconds(s.ToMS), Apart: milliseconds(s.ApartMS),
			Spread: milliseconds(s.SpreadMS), Messages: s.Messages}
	}
	picture := chart.ClockCurve("Clock of the chat log: "+stream, spans, c.DriftPPM)
	picture.Height = 220
	return picture, true
}

// Truth names the ground truth that came with a labelled stream.
type Truth struct {
	Words  memo.Digest `json:"words,omitempty"`  // words.json: what was said, and when
	Labels memo.Digest `json:"labels,omitempty"` // truth.json: which message answers which sentence
}

// LoadOption changes what Load reads.
type LoadOption interface{ load(*loadOptions) }

type loadOption func(*loadOptions)

func (f loadOption) load(o *loadOptions) { f(o) }

type loadOptions struct {
	chat    string
	chatMap map[string]string

	// These enter the key.
	Track  int  `json:"track"`
	Strict bool `json:"strict"`
	Clock  chat.ClockOptions
	Emotes []chat.EmoteCode
}

// ChatMap gives each recording its chat log by path, where names do not say it.
func ChatMap(chatOf map[string]string) LoadOption {
	return loadOption(func(o *loadOptions) { o.chatMap = chatOf })
}

// Track chooses the audio track of recordings with several, counted from 0.
func Track(n int) LoadOption { return loadOption(func(o *loadOptions) { o.Track = n }) }

// Strict makes a malformed record in a chat log an error. Without it such records are counted, shown and left out.
func Strict() LoadOption { return loadOption(func(o *loadOptions) { o.Strict = true }) }

// ChatShift moves every message by d, after all that was inferred about the log's clock.
func ChatShift(d time.Duration) LoadOption {
	return loadOption(func(o *loadOptions) { o.Clock.Shift = d })
}

// ChatStart says at which wall-clock time the recordings' first sample was heard, for logs that know only wall-clock times,
// such as IRC.
func ChatStart(t time.Time) LoadOption {
	return loadOption(func(o *loadOptions) { o.Clock.Start = t.UTC() })
}

// ChatFromVideo says that the offsets of a trimmed download count from the start of the whole video, and ChatFromTrim that
// they count from the trimmed part. Without either it is found from the log.
func ChatFromVideo() LoadOption {
	return loadOption(func(o *loadOptions) { o.Clock.Base = chat.VideoBase })
}

// ChatFromTrim says that the offsets of a trimmed download count from the start of the trimmed part.
func ChatFromTrim() LoadOption {
	return loadOption(func(o *loadOptions) { o.Clock.Base = chat.TrimBase })
}

// WholeSeconds keeps whole-second offsets as they are: fractions are not recovered.
func WholeSeconds() LoadOption { return loadOption(func(o *loadOptions) { o.Clock.Whole = true }) }

// ChatEmotes names emotes of BTTV, FFZ and 7TV to recognise besides those that the logs hold: where they stand as words of
// their own, they count as emotes. Emotes of Twitch, YouTube and Kick themselves are known from the logs. A list of a
// channel's emotes, parted by spaces or lines, is given by
//
//	Load("vods", ChatEmotes("7tv", strings.Fields(list)...), ChatEmotes("bttv", "catJAM", "monkaS"))
func ChatEmotes(provider string, codes ...string) LoadOption {
	return loadOption(func(o *loadOptions) {
		for _, code := range codes {
			o.Emotes = append(o.Emotes, chat.EmoteCode{Name: code, Provider: provider})
		}
	})
}

// Load finds recordings and their chat logs. pattern is a folder with one sub-folder a stream, a folder of recordings,
// or a pattern of recordings such as "vods/*.mkv".
//
// A sub-folder holds one recording and one chat log, and its name is the stream's id. Where it also holds words.json
// and truth.json, they are taken as ground truth, and reports score against it.
func Load(pattern string, options ...LoadOption) Streams {
	s := current()
	var o loadOptions
	for _, set := range options {
		set.load(&o)
	}
	files, err := find(pattern, o)
	if err != nil {
		fail("load", pattern, err)
	}
	without, err := s.forgotten()
	if err != nil {
		fail("load", pattern, err)
	}
	n := len(files)
	files = slices.DeleteFunc(files, func(f found) bool { return slices.Contains(without.streams, f.id) })
	if len(files) < n {
		s.note("load", "", "%s left out as forgotten", plural(n-len(files), "stream"))
	}
	if len(files) == 0 {
		fail("load", pattern, errors.New("all streams are forgotten: see recipe forget"))
	}
	streams := Streams{make([]loaded, len(files))}
	err = s.each(len(files), func(s *Session, i int) error {
		l, err := s.load(files[i], o, without)
		streams.list[i] = l
		return err
	})
	if err != nil {
		fail("load", pattern, err)
	}
	seen := map[memo.Digest]string{}
	for _, l := range streams.list {
		if twin, ok := seen[l.info.Recording.SHA256]; ok {
			fail("load", pattern, fmt.Errorf("streams %s and %s are the same recording (SHA-256 %.12s): remove one", twin, l.info.ID, l.info.Recording.SHA256))
		}
		seen[l.info.Recording.SHA256] = l.info.ID
		for _, w := range l.info.Warnings {
			s.note("load", l.info.ID, "%s", w)
		}
		if l.files.chat == "" && l.files.unread != "" {
			s.note("load", l.info.ID, "%s", l.files.unread)
		}
	}
	return streams
}

// load reads one stream, or finds that it was read before.
func (s *Session) load(f found, o loadOptions, without forgotten) (loaded, error) {
	inputs := map[string]memo.File{}
	for name, path := range map[string]string{"recording": f.recording, "chat": f.chat, "words": f.words, "labels": f.labels} {
		if path == "" {
			continue
		}
		file, err := s.store.File(s.ctx, path)
		if err != nil {
			return loaded{}, &Error{Verb: "load", Label: f.id, Err: err}
		}
		inputs[name] = file
	}
	step := memo.Step{Verb: "load", Label: f.id, Recheck: func() error {
		for _, file := range inputs {
			if err := file.Unchanged(); err != nil {
				return err
			}
		}
		return nil
	}}.With("stream", f.id).With("options", o)
	for name, file := range inputs {
		step = step.With("input."+name, file.Digest)
	}
	step = without.identify(step)
	m, err := s.do(step, func(ctx context.Context, d *memo.Draft) error { return readStream(ctx, d, f, o, without, inputs) })
	if err != nil {
		return loaded{}, err
	}
	l := loaded{files: f, step: m}
	if err := m.DecodeFacts(&l.info); err != nil {
		return loaded{}, &Error{Verb: "load", Label: f.id, Key: m.Key, Err: err}
	}
	return l, nil
}

func readStream(ctx context.Context, d *memo.Draft, f found, o loadOptions, without forgotten, inputs map[string]memo.File) error {
	info, err := media.ProbeWith(ctx, f.recording, media.Options{Track: o.Track})
	if err != nil {
		return err
	}
	stream := Stream{ID: f.id, Warnings: info.Warnings, Recording: Recording{
		SHA256: inputs["recording"].Digest, Bytes: inputs["recording"].Size, Container: info.Container, Codec: info.Codec,
		DurationMS: info.Duration.Milliseconds(), SampleRate: info.SampleRate, Channels: info.Channels, Track: info.Track,
	}}
	if n := len(info.Tracks); n > 1 && o.Track == 0 {
		stream.Warnings = append(stream.Warnings, fmt.Sprintf("the recording has %d audio tracks and the first is taken: choose another by Track(1)", n))
	}
	var messages []chat.Message
	var gone map[string]bool // ids of messages that are forgotten
	if f.chat == "" {
		stream.Warnings = append(stream.Warnings, "no chat log was found for this recording: it can be transcribed but gives no pairs")
	} else {
		clock := o.Clock
		clock.Length = info.Duration
		log, err := chat.Open(ctx, f.chat, chat.Options{Strict: o.Strict, Emotes: o.Emotes, Clock: clock})
		if err != nil {
			return err
		}
		messages, gone = without.messages(log.Messages)
		log.Messages = messages
		stream.Chat = describeChat(log, inputs["chat"])
		if log.Clock.Kind == chat.WallFirst {
			stream.Warnings = append(stream.Warnings, fmt.Sprintf("the chat log does not say when the recording began, so its times count from its first message, at %s: "+
				"give the start of the recording by ChatStart, unless the two are within half a minute of each other", log.Clock.Base.Format("2006-01-02 15:04:05 UTC")))
		}
		stream.Warnings = append(stream.Warnings, misfits(stream)...)
	}
	if f.words != "" || f.labels != "" {
		stream.Truth = &Truth{Words: inputs["words"].Digest, Labels: inputs["labels"].Digest}
	}
	if err := d.Write("messages.parquet", func(w io.Writer) error { return chat.WriteParquet(w, messages) }); err != nil {
		return err
	}
	if f.words != "" {
		if err := d.Import("words.json", f.words); err != nil {
			return err
		}
	}
	if f.labels != "" {
		truth, err := os.ReadFile(f.labels)
		if err == nil && len(gone) > 0 {
			truth, err = without.labels(truth, gone)
			stream.Truth.Labels = memo.Sum(truth)
		}
		if err != nil {
			return &problem.Error{Op: "read", Path: f.labels, Err: err}
		}
		if err := d.WriteBytes("truth.json", truth); err != nil {
			return err
		}
	}
	if err := d.Facts(stream); err != nil {
		return err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", " ")
	if err := enc.Encode(stream); err != nil {
		return err
	}
	return d.WriteBytes("stream.json", b.Bytes())
}

func describeChat(log *chat.Log, file memo.File) *ChatLog {
	c := &ChatLog{SHA256: file.Digest, Bytes: file.Size, Format: string(log.Source.Format), Version: log.Source.Version,
		VideoID: log.Source.StreamID, Title: log.Source.Title, Streamer: log.Source.Streamer, Messages: len(log.Messages),
		Summary: log.Report.Summary(), Clock: log.Clock.String()}
	if n := len(log.Messages); n > 0 {
		c.FirstMS, c.LastMS = log.Messages[0].Time.Milliseconds(), log.Messages[n-1].Time.Milliseconds()
	}
	if pieces := log.Clock.Pieces; len(pieces) > 1 || log.Clock.DriftPPM != 0 {
		c.DriftPPM = log.Clock.DriftPPM
		for _, p := range pieces[:min(len(pieces), maxClockSpans)] {
			c.ClockSpans = append(c.ClockSpans, ClockSpan{p.From.Milliseconds(), p.To.Milliseconds(), p.Base.Sub(pieces[0].Base).Milliseconds(),
				p.Spread.Milliseconds(), p.Messages})
		}
	}
	for _, p := range log.Report.Problems {
		c.Malformed = append(c.Malformed, p.String())
	}
	return c
}

// misfits says what does not fit between a recording and its chat, with numbers.
func misfits(s Stream) []string {
	var out []string
	if n := len(s.Chat.Malformed); n > 0 {
		out = append(out, fmt.Sprintf("chat: %s; the first malformed record is at %s", s.Chat.Summary, s.Chat.Malformed[0]))
	}
	if s.Chat.FirstMS < 0 {
		out = append(out, fmt.Sprintf("the chat begins %.1f s before the recording", -float64(s.Chat.FirstMS)/1000))
	}
	// Chat runs late and goes on for a while after the last word; only what is far beyond the end is odd.
	const slack = 60_000
	if end := s.Recording.DurationMS; end > 0 && s.Chat.LastMS > end+slack {
		out = append(out, fmt.Sprintf("the chat goes on for %.1f s after the end of the recording, which is %.1f s long: is it of a longer video?",
			float64(s.Chat.LastMS-end)/1000, float64(end)/1000))
	} else if end > 0 && s.Chat.LastMS < end/2 {
		out = append(out, fmt.Sprintf("the chat ends at %.1f s of a recording of %.1f s: was its download cut short?", float64(s.Chat.LastMS)/1000, float64(end)/1000))
	}
	return out
}

// found is where the files of one stream lie.
type found struct {
	id        string
	recording string
	chat      string
	unread    string // what may have been meant as the chat log and is none that is read
	words     string // ground truth
	labels    string // ground truth
}

var recordingExtensions = []string{".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".mka", ".mkv", ".mp4", ".m4v", ".mov", ".webm",
	".avi", ".ts", ".flv", ".wma"}

func isRecording(name string) bool {
	return slices.Contains(recordingExtensions, strings.ToLower(filepath.Ext(name)))
}

func isChat(name string) bool {
	name = strings.TrimSuffix(strings.ToLower(name), ".gz")
	switch name {
	case "words.json", "truth.json", "stream.json":
		return false
	}
	return slices.Contains([]string{".json", ".jsonl", ".ndjson", ".txt", ".log", ".html", ".htm", ".tcd", ".irc"}, filepath.Ext(name))
}

// find resolves a pattern to streams in order of their ids.
func find(pattern string, o loadOptions) ([]found, error) {
	info, err := os.Stat(pattern)
	var list []found
	switch {
	case err == nil && info.IsDir():
		list, err = findInFolder(pattern, o)
	case err == nil || strings.ContainsAny(pattern, "*?["):
		list, err = findByPattern(pattern, o)
	case errors.Is(err, fs.ErrNotExist):
		here, _ := os.Getwd() // only to help find the mistake
		return nil, fmt.Errorf("there is no such folder or file (the working directory is %s): name a folder with one sub-folder a stream, or a pattern such as vods/*.mkv", here)
	default:
		err = &problem.Error{Op: "read", Path: pattern, Err: errors.Unwrap(err)}
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b found) int { return strings.Compare(a.id, b.id) })
	for _, f := range list {
		if !utf8.ValidString(f.id) {
			return nil, fmt.Errorf("the name of %q is not UTF-8, and would be the stream's id: rename it", f.id)
		}
	}
	for i := 1; i < len(list); i++ {
		if list[i].id == list[i-1].id {
			return nil, fmt.Errorf("%s and %s would both be stream %q: rename one", list[i-1].recording, list[i].recording, list[i].id)
		}
	}
	return list, nil
}

func findInFolder(dir string, o loadOptions) ([]found, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []found
	flat := false
	for _, e := range entries {
		if isRecording(e.Name()) && !e.IsDir() {
			flat = true
		}
		sub := filepath.Join(dir, e.Name())
		if info, err := os.Stat(sub); err != nil || !info.IsDir() || strings.HasPrefix(e.Name(), ".") { // a link to a folder counts
			continue
		}
		f, ok, err := findInStreamFolder(sub, o)
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, f)
		}
	}
	switch {
	case len(list) == 0 && flat:
		return findByPattern(filepath.Join(escape(dir), "*"), o)
	case len(list) == 0:
		return nil, fmt.Errorf("no recording in this folder or its sub-folders: want one sub-folder a stream, with a recording (%s) and a chat log",
			strings.Join(recordingExtensions, " "))
	}
	return list, nil
}

// escape makes a path mean itself in a pattern.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func findInStreamFolder(dir string, o loadOptions) (found, bool, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return found{}, false, err
	}
	f := found{id: filepath.Base(dir)}
	var recordings, chats []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if e.IsDir() {
			if isChat(e.Name()) {
				f.unread = e.Name() + " is a folder"
			}
			continue
		}
		switch ext := strings.ToLower(filepath.Ext(e.Name())); {
		case slices.Contains([]string{".zip", ".zst", ".xz", ".bz2", ".7z", ".rar"}, ext):
			f.unread = e.Name() + " has to be unpacked: only .gz is read as it is"
		case e.Name() == "words.json":
			f.words = path
		case e.Name() == "truth.json":
			f.labels = path
		case isRecording(e.Name()):
			recordings = append(recordings, path)
		case isChat(e.Name()):
			chats = append(chats, path)
		}
	}
	if len(recordings) == 0 {
		return found{}, false, nil
	}
	if len(recordings) > 1 {
		return found{}, false, fmt.Errorf("stream %s has %d recordings (%s): leave one in its folder", f.id, len(recordings), strings.Join(bases(recordings), ", "))
	}
	f.recording = recordings[0]
	if chat, ok := o.chatMap[f.recording]; ok {
		f.chat = chat
		return f, true, nil
	}
	if len(chats) > 1 { // among several the one named chat.* is meant
		chats = slices.DeleteFunc(chats, func(p string) bool { return stem(p) != "chat" })
		if len(chats) != 1 {
			return found{}, false, fmt.Errorf("stream %s has several files that may be its chat log: name one of them chat.json, or say which with ChatMap", f.id)
		}
	}
	if len(chats) == 1 {
		f.chat = chats[0]
	}
	return f, true, nil
}

func bases(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = filepath.Base(p)
	}
	return out
}

// stem is a file's name without folders and extensions: "v1.chat.json.gz" is "v1.chat".
func stem(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), ".gz")
	return strings.TrimSuffix(name, filepath.Ext(name))
}

func findByPattern(pattern string, o loadOptions) ([]found, error) {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("%w: see the patterns of path/filepath.Match", err)
	}
	var list []found
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && isRecording(p) {
			list = append(list, found{id: stem(p), recording: p})
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no recording matches: %d files match the pattern, none ends in one of %s", len(paths), strings.Join(recordingExtensions, " "))
	}
	if err := findChats(list, o); err != nil {
		return nil, err
	}
	return list, nil
}

// findChats gives each recording its chat log: by the explicit map, by name, or by the video id that the log tells.
func findChats(list []found, o loadOptions) error {
	var chats []string
	if o.chat != "" {
		var err error
		if chats, err = filepath.Glob(o.chat); err != nil {
			return fmt.Errorf("chat pattern %q: %w", o.chat, err)
		}
		if len(chats) == 0 {
			return fmt.Errorf("no chat log matches %q", o.chat)
		}
	} else {
		for _, f := range list {
			for _, ext := range []string{".json", ".json.gz", ".chat.json", ".chat.json.gz", "_chat.json", "_chat.json.gz", ".live_chat.json", ".txt", ".html"} {
				path := strings.TrimSuffix(f.recording, filepath.Ext(f.recording)) + ext
				if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
					chats = append(chats, path)
				}
			}
		}
	}
	taken := map[string]bool{}
	for i := range list {
		f := &list[i]
		if path, ok := o.chatMap[f.recording]; ok {
			f.chat = path
			continue
		}
		for _, c := range chats {
			name := strings.TrimSuffix(stem(c), ".live_chat")
			name = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, ".chat"), "_chat"), "-chat")
			if name == f.id && !taken[c] {
				if f.chat != "" {
					return fmt.Errorf("recording %s has two chat logs, %s and %s: say which with ChatMap", f.recording, f.chat, c)
				}
				f.chat = c
				taken[c] = true
			}
		}
	}
	// What names did not settle, video ids may.
	for _, c := range chats {
		if taken[c] {
			continue
		}
		log, err := chat.Open(context.Background(), c, chat.Options{})
		if err != nil {
			return err
		}
		id := log.Source.StreamID
		for i := range list {
			if list[i].chat == "" && id != "" && holdsID(list[i].id, id) {
				list[i].chat = c
				break
			}
		}
	}
	return nil
}

// holdsID says whether id stands in name as a word of its own: "vod 123" holds 123 but not 12.
func holdsID(name, id string) bool {
	part := func(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
	for from := 0; ; {
		i := strings.Index(name[from:], id)
		if i < 0 {
			return false
		}
		i += from
		end := i + len(id)
		if (i == 0 || !part(name[i-1]) || !part(id[0])) && (end == len(name) || !part(name[end]) || !part(id[len(id)-1])) {
			return true
		}
		from = i + 1
	}
}

// Len is how many streams there are.
func (s Streams) Len() int { return len(s.list) }

// Infos describes each stream, in order of ids.
func (s Streams) Infos() []Stream {
	out := make([]Stream, len(s.list))
	for i, l := range s.list {
		out[i] = l.info
	}
	return out
}

// Messages returns the chat of the stream with the given id, in order of time.
func (s Streams) Messages(id string) []chat.Message {
	for _, l := range s.list {
		if l.info.ID == id {
			messages, err := current().messages(l)
			if err != nil {
				fail("load", id, err)
			}
			return slices.Clone(messages)
		}
	}
	fail("load", id, errors.New("there is no such stream"))
	return nil
}

func (s *Session) messages(l loaded) ([]chat.Message, error) {
	o, err := l.step.Output("messages.parquet")
	if err != nil {
		return nil, err
	}
	list, err := load(&s.decode, o.Digest, func() (*[]chat.Message, error) {
		f, err := s.store.OpenObject(o)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		messages, err := chat.ReadParquet(f, o.Size)
		return &messages, err
	})
	if err != nil {
		return nil, err
	}
	return *list, nil
}
