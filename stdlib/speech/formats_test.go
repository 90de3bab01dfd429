package speech

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
)

func sample() *Transcript {
	ms := time.Millisecond
	return &Transcript{
		Language: "en", Model: "test@sha256:00", Duration: 20 * time.Second,
		Words: []Word{
			{Text: "Hello", Start: 1000 * ms, End: 1400 * ms, Prob: 0.9, Segment: 0, Timed: true},
			{Text: "chat,", Start: 1400 * ms, End: 1900 * ms, Prob: 0, Segment: 0, Timed: true},
			{Text: "<b>&amp;", Start: 1900 * ms, End: 2500 * ms, Prob: -1, Segment: 0},
			{Text: "1 --> 2", Start: 9000 * ms, End: 9600 * ms, Prob: 1, Segment: 2, Timed: true},
		},
		Segments: []Segment{
			{Start: 1000 * ms, End: 2500 * ms, First: 0, Last: 3, NoSpeech: 0.02},
			{Start: 4000 * ms, End: 6000 * ms, First: 3, Last: 3, NoSpeech: 0.95, Gate: GateNoSpeech, Withheld: 4},
			{Start: 9000 * ms, End: 9600 * ms, First: 3, Last: 4, Turn: 1, NoSpeech: -1},
		},
	}
}

func TestParquet(t *testing.T) {
	for name, want := range map[string]*Transcript{"sample": sample(), "empty": {Language: "en", Model: "m"}} {
		var a, b bytes.Buffer
		if err := WriteParquet(&a, want); err != nil {
			t.Fatal(err)
		}
		if err := WriteParquet(&b, want); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Errorf("%s: two writings differ", name)
		}
		got, err := ReadParquet(bytes.NewReader(a.Bytes()), int64(a.Len()))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read\n%+v, wrote\n%+v", name, got, want)
		}
		for n := range a.Len() { // whatever is cut off, it is an error and no panic
			if _, err := ReadParquet(bytes.NewReader(a.Bytes()[:n]), int64(n)); err == nil {
				t.Fatalf("%s: %d of %d bytes are taken", name, n, a.Len())
			}
		}
	}
	bad := sample()
	bad.Words[1].Start = 0
	if err := WriteParquet(new(bytes.Buffer), bad); err == nil {
		t.Error("words that go back in time are written")
	}
}

func TestSRTAndVTT(t *testing.T) {
	var srt, vtt bytes.Buffer
	if err := WriteSRT(&srt, sample()); err != nil {
		t.Fatal(err)
	}
	if want := "1\n00:00:01,000 --> 00:00:02,500\nHello chat, <b>&amp;\n\n2\n00:00:09,000 --> 00:00:09,600\n1 -> 2\n\n"; srt.String() != want {
		t.Errorf("SRT is\n%s", srt.String())
	}
	if err := WriteVTT(&vtt, sample()); err != nil {
		t.Fatal(err)
	}
	if want := "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nHello <00:00:01.400>chat, &lt;b&gt;&amp;amp;\n\n00:00:09.000 --> 00:00:09.600\n1 -&gt; 2\n"; vtt.String() != want {
		t.Errorf("WebVTT is\n%s", vtt.String())
	}
	back, err := Import(&vtt)
	if err != nil {
		t.Fatal(err)
	}
	if back.Model != FormatVTT || back.Words[1].Start != 1400*time.Millisecond || back.Words[2].Text != "<b>&amp;" || back.Words[1].Prob != -1 {
		t.Errorf("read back %+v", back.Words)
	}
}

func TestCuesAreShort(t *testing.T) {
	tr := &Transcript{Segments: []Segment{{Last: 200}}}
	for i := range 200 {
		at := time.Duration(i) * 300 * time.Millisecond
		tr.Words = append(tr.Words, Word{Text: "pancake", Start: at, End: at + 300*time.Millisecond})
	}
	n := 0
	for _, c := range tr.cues() {
		if c.end-c.start > cueSpan || len(c.words)*8-1 > cueChars {
			t.Errorf("a cue of %v with %d words", c.end-c.start, len(c.words))
		}
		n += len(c.words)
	}
	if n != 200 {
		t.Errorf("%d words of 200 are in cues", n)
	}
}

const (
	whisperX = `{"segments": [
		{"start": 0.5, "end": 2.0, "text": " In 1984 we", "speaker": "SPEAKER_00", "words": [
			{"word": "In", "start": 0.5, "end": 0.7, "score": 0.9, "speaker": "SPEAKER_00"},
			{"word": "1984"},
			{"word": "we", "start": 1.5, "end": 2.0, "score": 0.8}]},
		{"start": 2.1, "end": 3.0, "text": " Yes.", "speaker": "SPEAKER_01", "words": [{"word": "Yes.", "start": 2.1, "end": 2.6, "score": 0.5}]}],
		"word_segments": [], "language": "en"}`
	whisperCPP = `{"systeminfo": "x", "model": {"type": "base"}, "params": {}, "result": {"language": "en"}, "transcription": [
		{"timestamps": {"from": "00:00:00,000", "to": "00:00:02,000"}, "offsets": {"from": 0, "to": 2000}, "text": " Well done.", "tokens": [
			{"text": "[_BEG_]", "offsets": {"from": 0, "to": 0}, "id": 50363, "p": 0.9, "t_dtw": -1},
			{"text": " W", "offsets": {"from": 100, "to": 300}, "id": 1, "p": 0.81, "t_dtw": 15},
			{"text": "ell", "offsets": {"from": 300, "to": 600}, "id": 2, "p": 1.0, "t_dtw": 30},
			{"text": " done", "offsets": {"from": 700, "to": 1200}, "id": 3, "p": 0.5, "t_dtw": 900},
			{"text": ".", "offsets": {"from": 1200, "to": 1300}, "id": 4, "p": 0.5, "t_dtw": -1}]},
		{"offsets": {"from": 2500, "to": 4500}, "text": " two words"}]}`
	openAI = `{"task": "transcribe", "language": "english", "duration": "8.47", "text": "The beach was busy.",
		"segments": [{"id": 0, "seek": 0, "start": 0.0, "end": 2.0, "text": " The beach", "tokens": [1], "temperature": 0, "avg_logprob": -0.2, "compression_ratio": 1.2, "no_speech_prob": 0.01},
			{"id": 1, "start": 2.0, "end": 3.3, "text": " was busy.", "no_speech_prob": 0.02}],
		"words": [{"word": "The", "start": 0.1, "end": 0.3}, {"word": "beach", "start": 0.3, "end": 0.9}, {"word": "was", "start": 2.0, "end": 2.2}, {"word": "busy", "start": 2.2, "end": 3.0}]}`
	youTube = "WEBVTT\nKind: captions\nLanguage: en\n\n00:00:01.000 --> 00:00:03.000 align:start position:0%\n \nhello<00:00:01.500><c> dear</c><00:00:02.000><c> chat</c>\n\n00:00:03.000 --> 00:00:03.010\nhello dear chat\n \n\n00:00:03.010 --> 00:00:05.000\nhello dear chat\nand<00:00:03.500><c> you</c>\n"
	voices  = "WEBVTT - with a title\n\nNOTE a remark --> not a cue\nmore\n\nSTYLE\n::cue {}\n\nid-1\n01:02.500 --> 01:04.500\n<v Anna>Is it &lt;done&gt;?\n\n100:00:00.000 --> 100:00:01.000\n<v.loud Ben>Yes\n"
	subRip  = "\ufeff1\r\n00:00:01,000 --> 00:00:03,000\r\n<i>Hello</i> there\r\n\r\n2\r\n00:00:04,500 --> 00:00:05,000\r\n{\\an8}Bye\r\n"
)

func TestImport(t *testing.T) {
	show := func(tr *Transcript) string {
		var b strings.Builder
		for _, w := range tr.Words {
			fmt.Fprintf(&b, "%s@%d-%d", w.Text, w.Start.Milliseconds(), w.End.Milliseconds())
			if w.Prob >= 0 {
				fmt.Fprintf(&b, " p%.2f", w.Prob)
			}
			if !w.Timed {
				b.WriteString(" untimed")
			}
			fmt.Fprintf(&b, " s%d t%d; ", w.Segment, tr.Segments[w.Segment].Turn)
		}
		return b.String()
	}
	units := utf16.Encode([]rune("\ufeff" + subRip[3:]))
	var wide []byte
	for _, u := range units {
		wide = append(wide, byte(u), byte(u>>8))
	}
	subRipWords := "Hello@1000-2000 untimed s0 t0; there@2000-3000 untimed s0 t0; Bye@4500-5000 untimed s1 t0; "
	for _, c := range []struct{ name, text, format, language, want string }{
		{"WhisperX", whisperX, FormatWhisperX, "en", "In@500-700 p0.90 s0 t0; 1984@700-1500 untimed s0 t0; we@1500-2000 p0.80 s0 t0; Yes.@2100-2600 p0.50 s1 t1; "},
		{"whisper.cpp", whisperCPP, FormatWhisperCPP, "en", "Well@150-600 p0.90 s0 t0; done.@700-1300 p0.50 s0 t0; two@2500-3300 untimed s1 t0; words@3300-4500 untimed s1 t0; "},
		{"OpenAI", openAI, FormatOpenAI, "en", "The@100-300 s0 t0; beach@300-900 s0 t0; was@2000-2200 s1 t0; busy@2200-3000 s1 t0; "},
		{"captions that roll", youTube, FormatVTT, "", "hello@1000-1500 s0 t0; dear@1500-2000 s0 t0; chat@2000-3000 s0 t0; and@3010-3500 untimed s1 t0; you@3500-5000 s1 t0; "},
		{"WebVTT with voices", voices, FormatVTT, "", "Is@62500-62928 untimed s0 t0; it@62928-63357 untimed s0 t0; <done>?@63357-64500 untimed s0 t0; Yes@360000000-360001000 untimed s1 t1; "},
		{"scores that are no numbers", `{"segments": [{"start": 1, "end": 2, "avg_logprob": -Infinity, "words": [
			{"word": "\"NaN", "start": 1, "end": 1.5, "score": NaN}, {"word": "b", "start": NaN, "end": NaN}]}], "language": "en"}`,
			FormatWhisperX, "en", "\"NaN@1000-1500 s0 t0; b@1500-2000 untimed s0 t0; "},
		{"whisper-timestamped", `{"text": " Soup is on", "segments": [{"id": 0, "seek": 0, "start": 0.5, "end": 2.0, "text": " Soup is on", "no_speech_prob": 0.1, "confidence": 0.8, "words": [
			{"text": "Soup", "start": 0.5, "end": 0.9, "confidence": 0.75}, {"text": "[*]", "start": 0.9, "end": 1.2}, {"text": "is", "start": 1.2, "end": 1.4, "confidence": 0.5}]}], "language": "en", "language_probs": {"en": 1}}`,
			FormatOpenAI, "en", "Soup@500-900 p0.75 s0 t0; is@1200-1400 p0.50 s0 t0; "},
		{"stable-ts and faster-whisper: pieces of words, words twice", `{"language": "welsh", "segments": [{"start": 0, "end": 3, "text": " A mid-air 汤 soup", "no_speech_prob": 0.1, "words": [
			{"word": " A", "start": 0, "end": 0.2, "probability": 0.9}, {"word": " mid", "start": 0.2, "end": 0.5, "probability": 0.9}, {"word": "-air", "start": 0.5, "end": 0.8, "probability": 0.6},
			{"word": "汤", "start": 1, "end": 1.5, "probability": 0.5}, {"word": " soup", "start": 1.5, "end": 2, "probability": 0.4}]}, {"start": 3, "end": 4, "text": "", "words": null}],
			"words": [{"word": " A", "start": 0, "end": 0.2}, {"word": " mid", "start": 0.2, "end": 0.5}], "ori_dict": {"segments": 1}}`,
			FormatOpenAI, "cy", "A@0-200 p0.90 s0 t0; mid-air@200-800 p0.60 s0 t0; 汤@1000-1500 p0.50 s0 t0; soup@1500-2000 p0.40 s0 t0; "},
		{"OpenAI's speakers", `{"task": "transcribe", "duration": 5.0, "text": "Hi. Yes.", "segments": [{"type": "transcript.text.segment", "id": "seg_0", "speaker": "A", "start": 0.2, "end": 1, "text": "Hi."},
			{"type": "transcript.text.segment", "id": "seg_1", "speaker": "B", "start": 1, "end": 2, "text": "Yes."}], "usage": {"type": "duration", "seconds": 5}}`,
			FormatOpenAI, "", "Hi.@200-1000 untimed s0 t0; Yes.@1000-2000 untimed s1 t1; "},
		{"whisper.cpp hours into a stereo recording", `{"result": {"language": "en"}, "transcription": [
			{"offsets": {"from": 12345000, "to": 12347000}, "text": " Soup", "speaker": "0", "tokens": [{"text": " Soup", "offsets": {"from": 12345600, "to": 12346000}, "id": 1, "p": nan, "t_dtw": 1.23457e+06}]},
			{"offsets": {"from": 12347000, "to": 12348000}, "text": " hm", "speaker": "?"}, {"offsets": {"from": 12348000, "to": 12349000}, "text": " yes", "speaker": "1"}]}`,
			FormatWhisperCPP, "en", "Soup@12345700-12346000 s0 t0; hm@12347000-12348000 untimed s1 t0; yes@12348000-12349000 untimed s2 t1; "},
		{"characters in pieces", "{\"transcription\": [{\"offsets\": {\"from\": 0, \"to\": 900}, \"text\": \" so \U0001F600 caf\u00e9\", \"tokens\": [" +
			"{\"text\": \" so\", \"offsets\": {\"from\": 0, \"to\": 300}, \"p\": 1}, {\"text\": \" \xf0\x9f\", \"offsets\": {\"from\": 300, \"to\": 400}, \"p\": 1}, " +
			"{\"text\": \"\x98\x80\", \"offsets\": {\"from\": 400, \"to\": 500}, \"p\": 1}, {\"text\": \" caf\", \"offsets\": {\"from\": 500, \"to\": 700}, \"p\": 1}, " +
			"{\"text\": \"\u00e9\", \"offsets\": {\"from\": 700, \"to\": 900}, \"p\": 1}]}]}",
			FormatWhisperCPP, "", "so@0-300 p1.00 s0 t0; \U0001F600@300-500 p1.00 s0 t0; caf\u00e9@500-900 p1.00 s0 t0; "},
		{"times before zero, out of order, over each other", `{"segments": [{"start": 5, "end": 6, "words": [{"word": "late", "start": 5, "end": 6}]},
			{"start": -0.5, "end": 5.5, "words": [{"word": "a", "start": -0.5, "end": 0.5}, {"word": "b", "start": 0.2, "end": 0.1}]}]}`,
			FormatWhisperX, "", "a@0-500 s0 t0; b@200-200 s0 t0; late@5000-6000 s1 t0; "},
		{"WebVTT of Windows with a header", "\ufeffWEBVTT - stream\r\nKind: captions\r\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\r\n\r\nNOTEBOOK\r\n100:00:01.000 --> 100:00:02.000 line:0\r\nhi\r\n\r\nNOTE\tx\r\nnot this\r\n\r\n",
			FormatVTT, "", "hi@360001000-360002000 untimed s0 t0; "},
		{"SRT that is cut off in a text", "1\n00:00:01,000 --> 00:00:03,000\nHel", FormatSRT, "", "Hel@1000-3000 untimed s0 t0; "},
		{"SRT", subRip, FormatSRT, "", subRipWords},
		{"SRT in UTF-16", string(wide), FormatSRT, "", subRipWords},
	} {
		got, err := Import(strings.NewReader(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got.Model != c.format || got.Language != c.language || show(got) != c.want {
			t.Errorf("%s: %s, %q\ngot  %s\nwant %s", c.name, got.Model, got.Language, show(got), c.want)
		}
	}
	if got, err := Import(strings.NewReader(openAI)); err != nil || got.Duration != 8470*time.Millisecond || got.Segments[0].NoSpeech != 0.01 {
		t.Errorf("OpenAI: %+v (%v)", got, err)
	}
}

func TestImportRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":          "  \n",
		"a web page":       "<!DOCTYPE html><html></html>",
		"other JSON":       `{"comments": []}`,
		"broken JSON":      `{"segments": [`,
		"a list of others": `[{"a": 1}]`,
		"no words":         "WEBVTT\n\n",
		"times backwards":  "WEBVTT\n\n00:05.000 --> 00:01.000\nhm\n",
		"no times":         "1\nsoon --> later\nhm\n",
		"endless time":     `{"segments": [{"start": 1e300, "end": 1e301, "text": "hm"}]}`,
		"negative offsets": `{"transcription": [{"offsets": {"from": -5, "to": 9}, "text": "hm"}]}`,
		"deep JSON":        strings.Repeat("[", 200_000),
	} {
		if got, err := Import(strings.NewReader(text)); err == nil {
			t.Errorf("%s is taken: %+v", name, got)
		}
	}
}

// TestImportErrors holds what people read against what is wrong.
func TestImportErrors(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"cut off":            {"{\"segments\": [\n  {\"start\": 1,", `import transcript at line 2, byte 14: the JSON is cut off here (write or fetch the file again)`},
		"a comma too much":   {"{\"segments\": [\n  {\"start\": 1,}\n]}", `import transcript at line 2, byte 15: this is no JSON: invalid character '}' looking for beginning of object key string`},
		"text for a number":  {`{"segments": [{"start": "1", "end": 2}]}`, `import transcript at line 1, byte 28: "segments.start" is a JSON string, where the format has another kind of value`},
		"cue times cut off":  {"1\n00:00:01,000 --> 00:0", `import transcript: line 2: these are no cue times: "00:00:01,000 --> 00:0"`},
		"words cut off":      {`[{"word": "a", "start": 0, `, `read reference words at line 1, byte 26: the JSON is cut off here (write or fetch the file again)`},
		"a segment's no end": {`{"segments": [{"start": 0, "end": NaN, "text": "x"}]}`, `import transcript: segment 1 has no start or no end`},
	} {
		if _, err := Import(strings.NewReader(c.text)); err == nil || err.Error() != c.want {
			t.Errorf("%s:\ngot  %v\nwant %s", name, err, c.want)
		}
	}
}

// TestImportScript reads the shipped streams' WebVTT and compares it with their words.
func TestImportScript(t *testing.T) {
	dir := filepath.Join("..", "..", "testdata", "streams", "s1")
	open := func(name string) *Transcript {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		tr, err := Import(f)
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	script, words := open("script.vtt"), open("words.json")
	if s := Compare(script, words.Words); s.Correct != s.Words || s.Ins != 0 {
		t.Errorf("the script differs from the words: %+v", s)
	}
	if len(script.Segments) != len(words.Segments) {
		t.Errorf("%d cues, %d sentences", len(script.Segments), len(words.Segments))
	}
}

// A cue without a word, right before the next one, once made the reader go round for ever.
func TestEmptyCueBeforeACue(t *testing.T) {
	for _, head := range []string{"WEBVTT\n\n", "1\n"} {
		tr, err := Import(strings.NewReader(head + "00:00:01.000 --> 00:00:02.000\n00:00:02.000 --> 00:00:03.000\nhello\n"))
		if err != nil {
			t.Fatal(err)
		}
		if len(tr.Words) != 1 || tr.Words[0].Text != "hello" || tr.Words[0].Start != 2*time.Second {
			t.Errorf("%q: %+v", head, tr.Words)
		}
	}
}

func FuzzImport(f *testing.F) {
	for _, text := range []string{whisperX, whisperCPP, openAI, youTube, voices, subRip, `[{"word":"a","start":0,"end":1}]`, `{"segments":[{"start":NaN,"end":-Infinity}]}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tr, err := Import(bytes.NewReader(data))
		if err != nil {
			return
		}
		if err := tr.Check(); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := WriteParquet(&b, tr); err != nil {
			t.Fatal(err)
		}
		if err := WriteVTT(&b, tr); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzReadParquet(f *testing.F) {
	var b bytes.Buffer
	if err := WriteParquet(&b, sample()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if tr, err := ReadParquet(bytes.NewReader(data), int64(len(data))); err == nil {
			if err := tr.Check(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
