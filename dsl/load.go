package dsl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"banter/dsl/memo"
	"banter/internal/problem"
	"banter/stdlib/chart"
	"banter/stdlib/chat"
	"banter/stdlib/media"
)

// Streams are recordings with their chat logs, as Load found them.
type Streams struct {
	list    []loaded
	skipped []Skipped
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
	Channel    int         `json:"channel,omitempty"` // the one heard, counted from 1; 0: the mean of all
	Damage     []Damage    `json:"damage,omitempty"`  // what could not be decoded: the first 1000 stretches
	Strict     bool        `json:"strict,omitempty"`  // damage that only decoding finds is an error, too
}

// Damage is a stretch of a recording that could not be decoded. Loss says what stands for it: "silenced", silence of its
// length; "guessed", silence of about its length; "closed", nothing, since its length is not known and ToMS is FromMS; or
// "cut off", where the recording ends at FromMS and promises to go on until ToMS.
type Damage struct {
	FromMS int64  `json:"from_ms"`
	ToMS   int64  `json:"to_ms"`
	Loss   string `json:"loss"`
}

// listen says what of the recording is heard.
func (r Recording) listen() media.Options {
	return media.Options{Track: r.Track, Channel: media.Channel(r.Channel), Strict: r.Strict}
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
	skipBad bool

	// These enter the key.
	Track    int    `json:"track"`
	Language string `json:"language,omitempty"`
	Channel  int    `json:"channel,omitempty"`
	Strict   bool   `json:"strict"`
	Clock    chat.ClockOptions
	Emotes   []chat.EmoteCode
}

// ChatMap gives recordings their chat logs, where names do not say it: from the recording's path, or the stream's id, to the
// log's path.
func ChatMap(chatOf map[string]string) LoadOption {
	return loadOption(func(o *loadOptions) { o.chatMap = chatOf })
}

// Track chooses the audio track of recordings with several, counted from 0.
func Track(n int) LoadOption { return loadOption(func(o *loadOptions) { o.Track = n }) }

// TrackLanguage takes only the audio tracks that are tagged with a language, by its code of ISO 639 such as en or deu; Track
// then counts over these.
func TrackLanguage(code string) LoadOption {
	return loadOption(func(o *loadOptions) { o.Language = code })
}

// Channel hears one channel of the recordings, such as 1 for the left and 2 for the right, where each has a speaker of its
// own. Without it the mean of all channels is heard.
func Channel(n int) LoadOption { return loadOption(func(o *loadOptions) { o.Channel = n }) }

// Strict makes a malformed record in a chat log an error, and damage in a recording. Without it such records are counted,
// shown and left out, and what can be decoded of the recording is: silence stands for the rest, and is named.
func Strict() LoadOption { return loadOption(func(o *loadOptions) { o.Strict = true }) }

// ChatShift moves every message by d, after all that was inferred about the log's clock.
func ChatShift(d time.Duration) LoadOption {
	withUnit("load", "ChatShift", d)
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

// Load finds recordings and their chat logs. pattern is a folder with one sub-folder a stream, a folder of recordings, the
// folder of one stream, or a pattern of recordings or of streams' folders such as "vods/*.mkv" and "vods/*/*".
//
// A stream's folder holds one recording and one chat log, and its name is the stream's id. Of several files that may be the
// log, the one that is named chat, or else the one with chat in its name, is meant. Where the folder also holds words.json
// and truth.json, they are taken as ground truth, and reports score against it. A recording among others has its own name
// for an id, and its log is named after it: vod.mp4 and vod.json, vod_chat.json, vod.live_chat.json.
//
// Streams that cannot be read are told all at once, and nothing is loaded then: SkipBad leaves them out.
func Load(pattern string, options ...LoadOption) Streams {
	s := current()
	var o loadOptions
	for _, set := range options {
		set.load(&o)
	}
	files, left, err := find(pattern, o)
	if err != nil {
		fail("load", pattern, err)
	}
	for _, what := range left {
		s.note("load", "", "%s", what)
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
	list, skipped, err := s.loadAll(pattern, files, o, without)
	if err != nil {
		fail("load", pattern, err)
	}
	for _, bad := range skipped {
		s.note("load", bad.ID, "skipped: %s", bad.Why)
	}
	for _, l := range list {
		for _, w := range l.info.Warnings {
			if w == withoutChat && l.files.unread != "" {
				w += ": " + l.files.unread
			}
			s.note("load", l.info.ID, "%s", w)
		}
	}
	return Streams{list, skipped}
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
			return loaded{}, &Error{Verb: "load", Label: f.id, Err: unreadable{err}}
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

const messagesFile = "messages.parquet"

// withoutChat warns of a recording that has no chat log.
const withoutChat = "no chat log was found for this recording: it can be transcribed but gives no pairs"

func readStream(ctx context.Context, d *memo.Draft, f found, o loadOptions, without forgotten, inputs map[string]memo.File) error {
	info, err := media.Survey(ctx, f.recording, media.Options{Track: o.Track, Language: o.Language, Channel: media.Channel(o.Channel), Strict: o.Strict})
	if err != nil {
		return unreadable{err}
	}
	stream := Stream{ID: f.id, Warnings: info.Warnings, Recording: Recording{
		SHA256: inputs["recording"].Digest, Bytes: inputs["recording"].Size, Container: info.Container, Codec: info.Codec,
		DurationMS: info.Duration.Milliseconds(), SampleRate: info.SampleRate, Channels: info.Channels, Track: info.Track, Channel: o.Channel, Strict: o.Strict,
	}}
	for _, d := range info.Damage {
		stream.Recording.Damage = append(stream.Recording.Damage, Damage{d.From.Milliseconds(), d.To.Milliseconds(), string(d.Loss)})
	}
	if n := len(info.Tracks); n > 1 && o.Track == 0 && o.Language == "" {
		stream.Warnings = append(stream.Warnings, fmt.Sprintf("the recording has %d audio tracks and the first is taken: choose another by Track or TrackLanguage: %s",
			n, media.ListTracks(info.Tracks)))
	}
	var messages []chat.Message
	var gone map[string]bool // ids of messages that are forgotten
	if f.chat == "" {
		stream.Warnings = append(stream.Warnings, withoutChat)
	} else {
		clock := o.Clock
		clock.Length = info.Duration
		log, err := chat.Open(ctx, f.chat, chat.Options{Strict: o.Strict, Emotes: o.Emotes, Clock: clock})
		if err != nil {
			return unreadable{err}
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
	if err := d.Write(messagesFile, func(w io.Writer) error { return chat.WriteParquet(w, messages) }); err != nil {
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
			return unreadable{&problem.Error{Op: "read", Path: f.labels, Err: err}}
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
	fail("load", id, s.unknown(id))
	return nil
}

func (s *Session) messages(l loaded) ([]chat.Message, error) {
	return table(s, l.step, messagesFile, chat.ReadParquet)
}
