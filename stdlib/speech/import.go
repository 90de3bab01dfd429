package speech

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"html"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"banter/internal/problem"
)

// The formats that [Import] reads, as they stand in [Transcript.Model].
const (
	FormatWhisperX   = "whisperx json"
	FormatWhisperCPP = "whisper.cpp json"
	FormatOpenAI     = "openai verbose_json"
	FormatVTT        = "webvtt"
	FormatSRT        = "srt"
	FormatReference  = "reference"
)

// Import reads a transcript that another tool wrote: JSON of WhisperX, of whisper.cpp (-oj, -ojf) or of OpenAI's
// verbose_json, as whisper-timestamped, stable-ts and the servers around faster-whisper write it too, WebVTT with or without word times, SRT, or words.json. The content decides which, not a name. What a
// format does not say is marked as missing: Prob is -1, and Timed is false for a word whose time is its share of its
// segment's.
func Import(r io.Reader) (*Transcript, error) {
	fail := func(err error) (*Transcript, error) {
		var p *problem.Error
		if errors.As(err, &p) {
			return nil, &problem.Error{Op: "import transcript", At: p.At, Err: p.Err, Fix: p.Fix}
		}
		return nil, &problem.Error{Op: "import transcript", Err: err}
	}
	data, err := readLimited(r)
	if err != nil {
		return fail(err)
	}
	text := bytes.TrimSpace([]byte(toUTF8(data)))
	if len(text) == 0 {
		return fail(errors.New("the file is empty"))
	}
	var t *Transcript
	switch {
	case text[0] == '[':
		return ReadReference(bytes.NewReader(text))
	case text[0] == '{':
		t, err = importJSON(text)
	case bytes.HasPrefix(text, []byte("WEBVTT")):
		t, err = importCues(string(text), true)
	case bytes.Contains(text, []byte("-->")):
		t, err = importCues(string(text), false)
	default:
		return nil, &problem.Error{Op: "import transcript", Err: errors.New("this is no transcript in a known format"),
			Fix: "give WhisperX, whisper.cpp or OpenAI JSON, WebVTT or SRT"}
	}
	if err != nil {
		return fail(err)
	}
	return t, nil
}

// toUTF8 reads the byte order marks that Windows tools write, and replaces bytes that are no text.
func toUTF8(data []byte) string {
	utf16Text := func(order binary.ByteOrder) string {
		units := make([]uint16, 0, len(data)/2)
		for i := 2; i+1 < len(data); i += 2 {
			units = append(units, order.Uint16(data[i:]))
		}
		return string(utf16.Decode(units))
	}
	switch {
	case bytes.HasPrefix(data, []byte{0xFF, 0xFE}):
		return utf16Text(binary.LittleEndian)
	case bytes.HasPrefix(data, []byte{0xFE, 0xFF}):
		return utf16Text(binary.BigEndian)
	}
	return strings.ToValidUTF8(string(bytes.TrimPrefix(data, []byte("\xEF\xBB\xBF"))), "\uFFFD")
}

// builder puts imported pieces together, in whatever order the file has them.
type builder struct {
	segments []piece
}

// piece is a segment with its words, whose Segment is not set yet.
type piece struct {
	start, end time.Duration
	noSpeech   float64
	speaker    string
	words      []Word
}

// share gives words without times their shares of a piece's time, by their lengths.
func (p *piece) share(text string) {
	fields := strings.Fields(text)
	total := 0
	for _, f := range fields {
		total += utf8.RuneCountInString(f) + 1
	}
	at := 0
	for _, f := range fields {
		n := utf8.RuneCountInString(f) + 1
		span := float64(p.end - p.start)
		p.words = append(p.words, Word{
			Text: f, Prob: -1,
			Start: p.start + time.Duration(span*float64(at)/float64(total)),
			End:   p.start + time.Duration(span*float64(at+n)/float64(total)),
		})
		at += n
	}
}

// mend takes the words from the text where characters are broken: whisper.cpp writes a character that its tokens part, such
// as an emoji, in pieces that are no text.
func (p *piece) mend(text string) {
	fields := strings.Fields(text)
	if len(fields) != len(p.words) {
		return
	}
	for i := range p.words {
		if strings.ContainsRune(p.words[i].Text, utf8.RuneError) {
			p.words[i].Text = fields[i]
		}
	}
}

// fill gives each word of a piece that has no time (Start below 0) a place between its neighbours that have.
func (p *piece) fill() {
	for i := 0; i < len(p.words); i++ {
		if p.words[i].Start >= 0 {
			continue
		}
		j := i
		for j < len(p.words) && p.words[j].Start < 0 {
			j++
		}
		lo, hi := p.start, p.end
		if i > 0 {
			lo = p.words[i-1].End
		}
		if j < len(p.words) {
			hi = p.words[j].Start
		}
		hi = max(lo, hi)
		for k := i; k < j; k++ {
			p.words[k].Start = lo + (hi-lo)*time.Duration(k-i)/time.Duration(j-i)
			p.words[k].End = lo + (hi-lo)*time.Duration(k-i+1)/time.Duration(j-i)
			p.words[k].Timed = false
		}
		i = j
	}
}

// transcript sorts and counts. Words keep the order that the file gives them within a segment; where their times
// contradict it, they are pulled up to the word before.
func (b *builder) transcript(format, language string, duration time.Duration) (*Transcript, error) {
	slices.SortStableFunc(b.segments, func(x, y piece) int { return int(min(max(x.start-y.start, -1), 1)) })
	t := &Transcript{Language: language, Model: format, Duration: duration}
	var last, lastStart time.Duration
	turn, speaker := 0, ""
	for _, p := range b.segments {
		if len(p.words) == 0 {
			continue
		}
		s := Segment{First: len(t.Words), NoSpeech: p.noSpeech}
		for _, w := range p.words {
			w.Start = max(w.Start, lastStart)
			w.End = max(w.End, w.Start)
			w.Segment = len(t.Segments)
			lastStart = w.Start
			t.Words = append(t.Words, w)
		}
		s.Start, s.End = min(p.start, t.Words[s.First].Start), max(p.end, t.Words[len(t.Words)-1].End)
		s.Last = len(t.Words)
		if len(t.Segments) > 0 {
			other := p.speaker != "" && speaker != "" && p.speaker != speaker
			if other || p.speaker == "" && s.Start-last > turnPause {
				turn++
			}
		}
		if p.speaker != "" {
			speaker = p.speaker
		}
		s.Turn, last = turn, s.End
		t.Segments = append(t.Segments, s)
	}
	if len(t.Words) == 0 {
		return nil, errors.New("there are no words in it")
	}
	return t, t.Check()
}

// jsonFile is what the three JSON formats have, together: each has some of it.
type jsonFile struct {
	Language string        `json:"language"`
	Duration flexible      `json:"duration"` // OpenAI
	Segments []jsonSegment `json:"segments"` // WhisperX and OpenAI
	Words    []jsonWord    `json:"words"`    // OpenAI
	Result   struct {
		Language string `json:"language"`
	} `json:"result"` // whisper.cpp
	Transcription []cppSegment `json:"transcription"` // whisper.cpp
	WordSegments  []jsonWord   `json:"word_segments"` // WhisperX: the same words once more
}

type jsonSegment struct {
	Start    *float64   `json:"start"`
	End      *float64   `json:"end"`
	Text     string     `json:"text"`
	Speaker  string     `json:"speaker"`
	NoSpeech *float64   `json:"no_speech_prob"`
	Words    []jsonWord `json:"words"`
}

type jsonWord struct {
	Word        string   `json:"word"`
	Text        string   `json:"text"` // whisper-timestamped, in place of word
	Start       *float64 `json:"start"`
	End         *float64 `json:"end"`
	Score       *float64 `json:"score"`       // WhisperX
	Probability *float64 `json:"probability"` // whisper's own tools
	Confidence  *float64 `json:"confidence"`  // whisper-timestamped
	Speaker     string   `json:"speaker"`
}

type cppSegment struct {
	Offsets     *cppOffsets `json:"offsets"`
	Text        string      `json:"text"`
	Speaker     string      `json:"speaker"` // of stereo recordings: "0", "1" or "?"
	SpeakerTurn bool        `json:"speaker_turn_next"`
	Tokens      []struct {
		Text    string      `json:"text"`
		Offsets *cppOffsets `json:"offsets"`
		ID      int64       `json:"id"`
		P       *float64    `json:"p"`
		DTW     *float64    `json:"t_dtw"` // centiseconds in six digits, "1.23457e+06"; -1 where there is none
	} `json:"tokens"`
}

type cppOffsets struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// flexible is a number that some writers put in quotes.
type flexible float64

func (f *flexible) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	if string(b) == "null" {
		return nil
	}
	*f = flexible(v)
	return err
}

func importJSON(data []byte) (*Transcript, error) {
	var f jsonFile
	if err := decodeJSON(data, &f); err != nil {
		return nil, err
	}
	switch {
	case f.Transcription != nil:
		return importCPP(&f)
	case f.Segments != nil || f.Words != nil:
		return importSegments(&f)
	}
	return nil, errors.New(`this JSON has neither "segments" nor "transcription"`)
}

func probability(p *float64) float64 {
	if p == nil || !(*p >= 0 && *p <= 1) {
		return -1
	}
	return *p
}

// words converts a list of words; those without times have a start below 0, for [piece.fill].
func words(list []jsonWord) ([]Word, error) {
	var out []Word
	spaced := slices.ContainsFunc(list, func(w jsonWord) bool { return strings.HasPrefix(w.Word, " ") })
	for _, w := range list {
		text := strings.TrimSpace(cmp.Or(w.Word, w.Text))
		if text == "" || text == "[*]" { // by which whisper-timestamped means sounds that are no words
			continue
		}
		word := Word{Text: text, Prob: probability(cmp.Or(w.Score, w.Probability, w.Confidence)), Start: -1}
		if w.Start != nil && w.End != nil {
			start, ok := seconds(*w.Start)
			end, ok2 := seconds(*w.End)
			if !ok || !ok2 {
				return nil, fmt.Errorf("the word %q goes from %v to %v seconds", text, *w.Start, *w.End)
			}
			word.Start, word.End, word.Timed = max(start, 0), max(start, end, 0), true
		}
		if n := len(out); spaced && n > 0 && !strings.HasPrefix(w.Word, " ") && out[n-1].joins(word) {
			continue
		}
		out = append(out, word)
	}
	return out, nil
}

// joins appends a piece of the same word to w: whisper's own tools write " mid", "-air", where a space begins each word. In
// scripts without spaces every piece stands for itself. A piece without a time, or beside one, is left alone.
func (w *Word) joins(next Word) bool {
	before, _ := utf8.DecodeLastRuneInString(w.Text)
	after, _ := utf8.DecodeRuneInString(next.Text)
	if !w.Timed || !next.Timed || unicode.In(before, unspaced...) || unicode.In(after, unspaced...) {
		return false
	}
	w.Text += next.Text
	w.End = max(w.End, next.End)
	w.Prob = min(w.Prob, next.Prob) // -1 where one is not known
	return true
}

// unspaced are the scripts that put no space between words.
var unspaced = []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar}

func importSegments(f *jsonFile) (*Transcript, error) {
	format := FormatOpenAI
	var b builder
	if slices.ContainsFunc(f.Segments, func(s jsonSegment) bool { return len(s.Words) > 0 }) {
		f.Words = nil // the same words once more, as some servers write them
	}
	for i, s := range f.Segments {
		if s.Start == nil || s.End == nil {
			return nil, fmt.Errorf("segment %d has no start or no end", i+1)
		}
		start, ok := seconds(*s.Start)
		end, ok2 := seconds(*s.End)
		if !ok || !ok2 {
			return nil, fmt.Errorf("segment %d goes from %v to %v seconds", i+1, *s.Start, *s.End)
		}
		p := piece{start: max(start, 0), end: max(start, end, 0), noSpeech: probability(s.NoSpeech), speaker: s.Speaker}
		if len(s.Words) > 0 {
			if format = FormatWhisperX; s.NoSpeech != nil {
				format = FormatOpenAI
			}
			var err error
			if p.words, err = words(s.Words); err != nil {
				return nil, err
			}
			p.fill()
		} else if len(f.Words) == 0 {
			p.share(s.Text)
		}
		b.segments = append(b.segments, p)
	}
	if f.WordSegments != nil {
		format = FormatWhisperX
	}
	if len(f.Words) > 0 { // OpenAI's words stand beside the segments: each belongs to the one in which it begins
		list, err := words(f.Words)
		if err != nil {
			return nil, err
		}
		if len(b.segments) == 0 {
			b.segments = []piece{{noSpeech: -1}}
		}
		slices.SortStableFunc(b.segments, func(x, y piece) int { return int(min(max(x.start-y.start, -1), 1)) })
		k := 0
		for _, w := range list {
			for w.Start >= 0 && k+1 < len(b.segments) && b.segments[k+1].start <= w.Start {
				k++
			}
			b.segments[k].words = append(b.segments[k].words, w)
		}
		for k := range b.segments {
			p := &b.segments[k]
			if n := len(p.words); n > 0 {
				p.end = max(p.end, p.words[n-1].End)
			}
			p.fill()
		}
	}
	duration, ok := seconds(float64(f.Duration))
	if !ok || duration < 0 {
		return nil, fmt.Errorf("the duration is %v seconds", float64(f.Duration))
	}
	return b.transcript(format, languageCode(f.Language), duration)
}

// specialToken is how whisper.cpp prints what is no text: [_BEG_], [_TT_150], <|endoftext|>.
var specialToken = regexp.MustCompile(`^(\[_.*\]|<\|.*\|>)$`)

func importCPP(f *jsonFile) (*Transcript, error) {
	const limit = int64(maxSeconds * 1000)
	ms := func(v int64) time.Duration { return time.Duration(v) * time.Millisecond }
	bad := func(o *cppOffsets) bool { return o.From < 0 || o.To < 0 || o.From > limit || o.To > limit }
	var b builder
	turn, diarized := 0, false
	for i, s := range f.Transcription {
		if s.Offsets == nil {
			return nil, fmt.Errorf("segment %d has no offsets", i+1)
		}
		if bad(s.Offsets) {
			return nil, fmt.Errorf("segment %d goes from %d to %d ms", i+1, s.Offsets.From, s.Offsets.To)
		}
		p := piece{start: ms(s.Offsets.From), end: max(ms(s.Offsets.To), ms(s.Offsets.From)), noSpeech: -1, speaker: strconv.Itoa(turn)}
		if s.SpeakerTurn {
			turn++
		}
		if s.Speaker != "" {
			diarized = true
			if p.speaker = s.Speaker; s.Speaker == "?" {
				p.speaker = ""
			}
		}
		var logProb float64
		tokens, unknown := 0, false
		finish := func() {
			if n := len(p.words); n > 0 && tokens > 0 && !unknown {
				p.words[n-1].Prob = math.Exp(logProb / float64(tokens))
			}
			logProb, tokens, unknown = 0, 0, false
		}
		for _, k := range s.Tokens {
			if k.Text == "" || specialToken.MatchString(k.Text) {
				continue
			}
			if len(p.words) == 0 || k.Text[0] == ' ' {
				finish()
				w := Word{Prob: -1, Start: -1}
				if k.Offsets != nil && !bad(k.Offsets) {
					w.Start, w.Timed = ms(k.Offsets.From), true
					if k.DTW != nil && *k.DTW >= 0 && *k.DTW < float64(limit) && (ms(int64(10**k.DTW))-w.Start).Abs() <= believeWarp {
						w.Start = ms(int64(10 * *k.DTW))
					}
				}
				p.words = append(p.words, w)
			}
			w := &p.words[len(p.words)-1]
			w.Text += k.Text
			if k.Offsets != nil && !bad(k.Offsets) {
				w.End = max(w.End, ms(k.Offsets.To))
			}
			tokens++
			if v := probability(k.P); v < 0 {
				unknown = true
			} else {
				logProb += math.Log(max(v, 1e-9))
			}
		}
		finish()
		kept := p.words[:0]
		for _, w := range p.words {
			if w.Text = strings.TrimSpace(w.Text); w.Text != "" {
				kept = append(kept, w)
			}
		}
		if p.words = kept; len(kept) == 0 {
			p.share(s.Text)
		}
		p.mend(s.Text)
		p.fill()
		b.segments = append(b.segments, p)
	}
	if turn == 0 && !diarized { // nobody marked turns: pauses do
		for i := range b.segments {
			b.segments[i].speaker = ""
		}
	}
	return b.transcript(FormatWhisperCPP, languageCode(f.Result.Language), 0)
}

// languageCode turns the name that OpenAI writes into a code; what is no name it knows stays as it is.
func languageCode(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	if code, ok := languageCodes[name]; ok {
		return code
	}
	return name
}

var languageCodes = map[string]string{
	"afrikaans": "af", "arabic": "ar", "armenian": "hy", "azerbaijani": "az", "belarusian": "be", "bosnian": "bs",
	"bulgarian": "bg", "catalan": "ca", "chinese": "zh", "croatian": "hr", "czech": "cs", "danish": "da", "dutch": "nl",
	"english": "en", "estonian": "et", "finnish": "fi", "french": "fr", "galician": "gl", "german": "de", "greek": "el",
	"hebrew": "he", "hindi": "hi", "hungarian": "hu", "icelandic": "is", "indonesian": "id", "italian": "it",
	"japanese": "ja", "kannada": "kn", "kazakh": "kk", "korean": "ko", "latvian": "lv", "lithuanian": "lt",
	"macedonian": "mk", "malay": "ms", "maori": "mi", "marathi": "mr", "nepali": "ne", "norwegian": "no", "persian": "fa",
	"polish": "pl", "portuguese": "pt", "romanian": "ro", "russian": "ru", "serbian": "sr", "slovak": "sk",
	"slovenian": "sl", "spanish": "es", "swahili": "sw", "swedish": "sv", "tagalog": "tl", "tamil": "ta", "thai": "th",
	"turkish": "tr", "ukrainian": "uk", "urdu": "ur", "vietnamese": "vi", "welsh": "cy",
}

var (
	cueLine  = regexp.MustCompile(`^\s*((?:\d+:)?\d{1,2}:\d{1,2}[.,]\d{1,3})\s*-->\s*((?:\d+:)?\d{1,2}:\d{1,2}[.,]\d{1,3})`)
	wordTime = regexp.MustCompile(`<((?:\d+:)?\d{2}:\d{2}\.\d{3})>`)
	voiceTag = regexp.MustCompile(`(?i)<v(?:\.[^ >]*)?\s+([^>]*)>`)
	anyTag   = regexp.MustCompile(`<[^>]*>`)
	srtTag   = regexp.MustCompile(`\{\\[^}]*\}`)
)

// importCues reads WebVTT and SRT, which differ little.
func importCues(text string, vtt bool) (*Transcript, error) {
	format := FormatSRT
	if vtt {
		format = FormatVTT
	}
	// In WebVTT a line with a space is not empty, and YouTube writes such lines within cues; in SRT nobody means them.
	ends := func(line string) bool { return line == "" || !vtt && strings.TrimSpace(line) == "" }
	var b builder
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n")
	for i := 0; i < len(lines); i++ {
		if vtt && notCue(lines[i]) {
			for i < len(lines) && strings.TrimSpace(lines[i]) != "" {
				i++
			}
			continue
		}
		if !strings.Contains(lines[i], "-->") {
			continue
		}
		m := cueLine.FindStringSubmatch(lines[i])
		if m == nil {
			return nil, fmt.Errorf("line %d: these are no cue times: %.80q", i+1, lines[i])
		}
		start, ok := cueTime(m[1])
		end, ok2 := cueTime(m[2])
		if !ok || !ok2 || end < start {
			return nil, fmt.Errorf("line %d: a cue goes from %s to %s", i+1, m[1], m[2])
		}
		var body []string
		for i++; i < len(lines) && !ends(lines[i]); i++ {
			if strings.Contains(lines[i], "-->") { // the empty line between two cues is missing
				if n := len(body); n > 0 && strings.Trim(body[n-1], "0123456789 ") == "" {
					body = body[:n-1]
				}
				i--
				break
			}
			body = append(body, lines[i])
		}
		p := piece{start: start, end: end, noSpeech: -1}
		p.cueWords(strings.Join(body, "\n"), vtt)
		b.segments = append(b.segments, p)
	}
	if format == FormatVTT {
		b.unroll()
	}
	return b.transcript(format, "", 0)
}

// notCue reports whether a line begins a block of WebVTT that is no cue: NOTE with or without text behind it, STYLE, REGION.
func notCue(line string) bool {
	word, _, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
	return word == "NOTE" || (word == "STYLE" || word == "REGION") && strings.TrimSpace(line) == word
}

// cueWords reads a cue's text. The text after a time tag lasts until the next tag.
func (p *piece) cueWords(body string, vtt bool) {
	if v := voiceTag.FindStringSubmatch(body); v != nil {
		p.speaker = strings.TrimSpace(v[1])
	}
	clean := func(s string) string {
		s = anyTag.ReplaceAllString(s, "")
		if !vtt {
			return srtTag.ReplaceAllString(s, "")
		}
		return html.UnescapeString(s)
	}
	tags := wordTime.FindAllStringSubmatchIndex(body, -1)
	if !vtt || len(tags) == 0 {
		p.share(clean(body))
		return
	}
	from, at, timed := 0, p.start, true
	add := func(text string, end time.Duration) {
		part := piece{start: at, end: max(at, end)}
		part.share(clean(text))
		for i := range part.words {
			part.words[i].Timed = timed && len(part.words) == 1
		}
		p.words = append(p.words, part.words...)
	}
	for _, tag := range tags {
		t, ok := cueTime(body[tag[2]:tag[3]])
		if !ok || t < at || t > p.end {
			continue
		}
		add(body[from:tag[0]], t)
		from, at = tag[1], t
	}
	add(body[from:], p.end)
}

// unroll removes what live captions repeat: each cue shows the line before once more above its own.
func (b *builder) unroll() {
	for i := len(b.segments) - 1; i > 0; i-- {
		before, p := b.segments[i-1].words, &b.segments[i]
		for n := min(len(before), len(p.words)); n > 0; n-- {
			same := true
			for k := range n {
				if before[len(before)-n+k].Text != p.words[k].Text {
					same = false
					break
				}
			}
			// A whole line of several words is a repeat; "no" after "no" is speech.
			if same && (n >= 3 || n == len(p.words) && n == len(before) && p.end-p.start < 100*time.Millisecond) && b.segments[i].start <= b.segments[i-1].end+50*time.Millisecond {
				if p.words = p.words[n:]; len(p.words) > 0 && !p.words[0].Timed {
					p.words[0].Start = p.start // the repeated words took no time
				}
				break
			}
		}
	}
}

// cueTime reads "1:02:03.4", "02:03,400".
func cueTime(s string) (time.Duration, bool) {
	whole, fraction, _ := strings.Cut(strings.ReplaceAll(s, ",", "."), ".")
	var total int64
	for _, f := range strings.Split(whole, ":") {
		v, err := strconv.ParseInt(f, 10, 32)
		if err != nil {
			return 0, false
		}
		total = total*60 + v
	}
	ms, err := strconv.Atoi((fraction + "000")[:3])
	if err != nil || float64(total) > maxSeconds {
		return 0, false
	}
	return time.Duration(total)*time.Second + time.Duration(ms)*time.Millisecond, true
}
