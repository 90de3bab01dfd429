package dsl

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"banter/dsl/event"
	"banter/dsl/memo"
	"banter/stdlib/chat"
)

// tree makes empty files, and a chat log for each name that ends in one.
func tree(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var content string
		if id, ok := strings.CutSuffix(filepath.Base(name), ".vodchat.json"); ok {
			content = `{"FileInfo":{"Version":{"Major":1,"Minor":4,"Patch":0}},"streamer":{"name":"x","id":1},"video":{"id":"` + id + `","title":"t"},` +
				`"comments":[{"_id":"m1","created_at":"2025-03-01T18:00:01.463Z","content_offset_seconds":1,"commenter":{"_id":"1","name":"a","display_name":"a"},"message":{"body":"hi","fragments":[]}}]}`
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindPairsRecordingsWithChats(t *testing.T) {
	for _, c := range []struct {
		name    string
		files   []string
		pattern string            // below the folder
		chat    string            // below the folder
		chatMap map[string]string // below the folder
		want    []string          // id recording chat words labels
		err     string
	}{
		{name: "sub-folders", files: []string{"s2/audio.opus", "s2/chat.txt.zst", "s1/a.flac", "s1/chat.json.gz", "s1/words.json", "s1/truth.json", "s1/script.vtt"},
			want: []string{"s1 s1/a.flac s1/chat.json.gz s1/words.json s1/truth.json", "s2 s2/audio.opus s2/chat.txt.zst - -"}},
		{name: "packed logs", files: []string{"s1/a.flac", "s1/chat.zip", "s2/a.flac", "s2/x.json.xz", "s3/a.flac", "s3/clips.zip"},
			want: []string{"s1 s1/a.flac s1/chat.zip - -", "s2 s2/a.flac s2/x.json.xz - -", "s3 s3/a.flac - - -"}},
		{name: "several candidates, one named chat", files: []string{"s1/a.wav", "s1/chat.json", "s1/notes.txt"}, want: []string{"s1 s1/a.wav s1/chat.json - -"}},
		{name: "several candidates", files: []string{"s1/a.wav", "s1/x.json", "s1/y.json"}, err: "say which with ChatMap"},
		{name: "two recordings", files: []string{"s1/a.wav", "s1/b.wav"}, err: "2 recordings (a.wav, b.wav)"},
		{name: "no chat", files: []string{"s1/a.wav"}, want: []string{"s1 s1/a.wav - - -"}},
		{name: "flat folder", files: []string{"v1.mkv", "v1.json", "v2.mkv", "v2.chat.json"}, want: []string{"v1 v1.mkv v1.json - -", "v2 v2.mkv v2.chat.json - -"}},
		{name: "pattern", files: []string{"vods/v1.mkv", "vods/v1.txt", "chat/v1.json"}, pattern: "vods/*.mkv", chat: "chat/*.json", want: []string{"v1 vods/v1.mkv chat/v1.json - -"}},
		{name: "yt-dlp names", files: []string{"v1.webm", "v1.live_chat.json"}, pattern: "*.webm", want: []string{"v1 v1.webm v1.live_chat.json - -"}},
		{name: "video id", files: []string{"vods/stream [123].mkv", "vods/stream [12].mkv", "chat/12.vodchat.json", "chat/123.vodchat.json"}, pattern: "vods/*", chat: "chat/*",
			want: []string{"stream [123] vods/stream [123].mkv chat/123.vodchat.json - -", "stream [12] vods/stream [12].mkv chat/12.vodchat.json - -"}},
		{name: "map", files: []string{"a.mkv", "b.json"}, pattern: "*.mkv", chatMap: map[string]string{"a.mkv": "b.json"}, want: []string{"a a.mkv b.json - -"}},
		{name: "two logs", files: []string{"v1.mkv", "v1_chat.json", "v1.chat.json"}, pattern: "*.mkv", err: "several files may be its chat log (v1.chat.json, v1_chat.json)"},
		{name: "two logs by a pattern", files: []string{"v1.mkv", "c/v1.json", "c/v1.chat.json"}, pattern: "*.mkv", chat: "c/*", err: "two chat logs"},
		{name: "the one that says chat", files: []string{"v1.mkv", "v1.json", "v1_chat.json", "v1.info.json"}, pattern: "*.mkv", want: []string{"v1 v1.mkv v1_chat.json - -"}},
		{name: "as yt-dlp leaves a folder", files: []string{"s/A [x-1].webm", "s/A [x-1].live_chat.json", "s/A [x-1].info.json", "s/A [x-1].en.vtt"},
			want: []string{"s s/A [x-1].webm s/A [x-1].live_chat.json - -"}},
		{name: "a path with brackets", files: []string{"A [x-1].webm", "A [x-1].live_chat.json"}, pattern: "A [x-1].webm", want: []string{"A [x-1] A [x-1].webm A [x-1].live_chat.json - -"}},
		{name: "TwitchDownloader HTML", files: []string{"vod.mp4", "vod - Chat.html"}, want: []string{"vod vod.mp4 vod - Chat.html - -"}},
		{name: "one recording and a log of any name", files: []string{"s/rec.mp4", "s/log of monday.txt", "s/truth.json"}, pattern: "s", want: []string{"s s/rec.mp4 s/log of monday.txt - s/truth.json"}},
		{name: "two recordings and a log of any name", files: []string{"a.mp4", "b.mp4", "log.txt"}, want: []string{"a a.mp4 - - -", "b b.mp4 - - -"}},
		{name: "recordings and sub-folders", files: []string{"a.mp4", "a.json", "s/b.mp4", "s/b.json"}, want: []string{"a a.mp4 a.json - -", "s s/b.mp4 s/b.json - -"}},
		{name: "a pattern of folders", files: []string{"2024/03/a/x.mp4", "2024/03/a/chat.json", "2024/04/b/y.mp4"}, pattern: "*/*/*",
			want: []string{"a 2024/03/a/x.mp4 2024/03/a/chat.json - -", "b 2024/04/b/y.mp4 - - -"}},
		{name: "too deep", files: []string{"2024/03/a/x.mp4"}, err: "there is 2024/03/a/x.mp4: name the streams' folders by the pattern"},
		{name: "chat alone", files: []string{"a/chat.json"}, err: "a has no recording beside chat.json"},
		{name: "map by id", files: []string{"s/a.mkv", "b.json"}, chatMap: map[string]string{"s/a.mkv": "b.json"}, want: []string{"s s/a.mkv b.json - -"}},
		{name: "map that names nothing", files: []string{"s/a.mkv", "b.json"}, chatMap: map[string]string{"s/c.mkv": "b.json"}, err: "ChatMap names 1 recording, and 0 of them"},
		{name: "sub-folders and logs elsewhere", files: []string{"v/s/a.mkv", "v/s/x.json", "v/s/y.json", "c/s.json"}, pattern: "v", chat: "c/*.json", want: []string{"s v/s/a.mkv c/s.json - -"}},
		{name: "same id", files: []string{"x/v1.mkv", "y/v1.mkv"}, pattern: "*/*.mkv", err: `stream "v1"`},
		{name: "nothing matches", files: []string{"a.txt"}, pattern: "*.mkv", err: "no recording matches"},
		{name: "chat pattern matches nothing", files: []string{"v1.mkv"}, pattern: "*.mkv", chat: "chat/*", err: "no chat log matches"},
		{name: "no such folder", pattern: "missing", err: "no such folder"},
		{name: "empty folder", files: []string{"x/readme.md"}, err: "no recording in this folder"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := tree(t, c.files...)
			o := loadOptions{chatMap: map[string]string{}}
			if c.chat != "" {
				o.chat = filepath.Join(dir, c.chat)
			}
			for recording, chat := range c.chatMap {
				o.chatMap[filepath.Join(dir, recording)] = filepath.Join(dir, chat)
			}
			list, _, err := find(filepath.Join(dir, c.pattern), o)
			for _, f := range list {
				err = cmp.Or(err, f.unclear)
			}
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want one that says %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range list {
				line := []string{f.id}
				for _, path := range []string{f.recording, f.chat, f.words, f.labels} {
					rel := "-"
					if path != "" {
						if rel, err = filepath.Rel(dir, path); err != nil {
							t.Fatal(err)
						}
					}
					line = append(line, rel)
				}
				got = append(got, strings.Join(line, " "))
			}
			if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// What Words takes for a stream's transcript.
func TestFindTranscripts(t *testing.T) {
	for _, c := range []struct {
		name    string
		files   []string // vod.mp4 is among them: the one stream, unless there are more
		pattern string
		want    string
		err     string
	}{
		{name: "beside recording and log, as yt-dlp does", files: []string{"vod.mp4", "vod.json", "vod.en.vtt"}, want: "vod.en.vtt"},
		{name: "without a language", files: []string{"vod.mp4", "vod_chat.json", "vod.vtt"}, want: "vod.vtt"},
		{name: "beside a log that has the recording's name", files: []string{"vod.mp4", "vod.json", "vod.srt"}, want: "vod.srt"},
		{name: "in a sub-folder, under any name", files: []string{"vod/x.mp4", "vod/x_chat.json", "vod/x.pt-BR.vtt"}, want: "vod/x.pt-BR.vtt"},
		{name: "script before others", files: []string{"vod/x.mp4", "vod/script.vtt", "vod/x.vtt"}, want: "vod/script.vtt"},
		{name: "as whisper.cpp does", files: []string{"vod.wav", "w/vod.wav.json"}, pattern: "w", want: "w/vod.wav.json"},
		{name: "one file for one stream", files: []string{"vod.mp4", "w/any [1].srt"}, pattern: "w/any [1].srt", want: "w/any [1].srt"},
		{name: "two languages", files: []string{"vod.mp4", "vod.en.vtt", "vod.de.vtt"}, err: "several transcripts (vod.de.vtt, vod.en.vtt)"},
		{name: "one of two languages", files: []string{"vod.mp4", "vod.en.vtt", "vod.de.vtt"}, pattern: "*.de.vtt", want: "vod.de.vtt"},
		{name: "none", files: []string{"vod.mp4"}, err: "no transcript for stream vod"},
		{name: "nothing there", files: []string{"vod.mp4"}, pattern: "w/*.json", err: "no file matches"},
		{name: "of another stream", files: []string{"vod.mp4", "b.mp4", "w/vod.srt"}, pattern: "w/*", err: "no transcript for stream b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := tree(t, c.files...)
			list, _, err := find(dir, loadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var streams Streams
			for _, f := range list {
				streams.list = append(streams.list, loaded{files: f, info: Stream{ID: f.id}})
			}
			got, err := transcriptFiles(streams, filepath.Join(dir, c.pattern))
			switch {
			case c.err != "":
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want one that says %q", err, c.err)
				}
			case err != nil:
				t.Error(err)
			case got[0] != filepath.Join(dir, c.want):
				t.Errorf("took %s, want %s", got[0], c.want)
			}
		})
	}
}

func TestParams(t *testing.T) {
	type params struct {
		Streams string  `help:"folder"`
		FDR     float64 `help:"rate"`
		Epochs  int
		Fast    bool
		Seed    uint64
	}
	p := params{Streams: "a", FDR: 0.1}
	if err := SetParams(&p, map[string]string{"streams": "b", "FDR": "0.05", "epochs": "3", "fast": "true", "seed": "7"}); err != nil {
		t.Fatal(err)
	}
	if (p != params{"b", 0.05, 3, true, 7}) {
		t.Errorf("%+v", p)
	}
	for text, want := range map[string]string{
		"nope=1": "there is no parameter \"nope\": this recipe has streams, fdr, epochs, fast, seed", "fdr=x": `"x" is not a number`, "fdr=NaN": "not a number",
		"epochs=1.5": "whole number", "fast=maybe": "true or false", "seed=-1": "at least 0",
	} {
		name, value, _ := strings.Cut(text, "=")
		if err := SetParams(&p, map[string]string{name: value}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one that says %q", text, err, want)
		}
	}
}

// A log whose wall clock and offsets part, as where an advertisement was cut out of the video, shows it as a chart.
func TestClockThatPartsIsCharted(t *testing.T) {
	type object = map[string]any
	start := time.Date(2025, 3, 1, 18, 0, 0, 0, time.UTC)
	var comments []object
	for i := range 200 {
		at, wall := 3*i, start.Add(time.Duration(3*i)*time.Second+time.Duration(i*37%1000)*time.Millisecond)
		if i >= 120 {
			wall = wall.Add(30 * time.Second)
		}
		comments = append(comments, object{"_id": strconv.Itoa(i), "created_at": wall.Format("2006-01-02T15:04:05.000Z"), "content_offset_seconds": at,
			"commenter": object{"display_name": "a", "_id": "1", "name": "a"}, "message": object{"body": "hi"}})
	}
	b, err := json.Marshal(object{"FileInfo": object{"Version": object{"Major": 1, "Minor": 4}}, "video": object{"start": 0, "end": 600, "length": 600}, "comments": comments})
	if err != nil {
		t.Fatal(err)
	}
	log, err := chat.Read(t.Context(), bytes.NewReader(b), chat.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := describeChat(log, memo.File{})
	if len(c.ClockSpans) != 2 || c.ClockSpans[1].FromMS != 360_000 || c.ClockSpans[1].ApartMS < 29_000 || c.ClockSpans[1].ApartMS > 31_000 {
		t.Fatalf("%s: spans %+v", c.Clock, c.ClockSpans)
	}
	picture, ok := c.clockChart("s")
	if !ok || len(picture.Marks) != 1 || !strings.HasPrefix(picture.Marks[0].Label, "+30") && !strings.HasPrefix(picture.Marks[0].Label, "+29") {
		t.Errorf("%v, marks %+v", ok, picture.Marks)
	}
	if _, ok := (&ChatLog{}).clockChart("s"); ok {
		t.Error("a clock that parts nowhere has a chart")
	}
}

// TestWhatLoadNotes loads streams that are not quite what they should be.
func TestWhatLoadNotes(t *testing.T) {
	l := newLab(t, "packed", "folder", "irc")
	chatOf := func(id string) string { return filepath.Join(l.streams, id, "chat.json") }
	for _, id := range []string{"packed", "folder", "irc"} {
		if err := os.Remove(chatOf(id)); err != nil {
			t.Fatal(err)
		}
	}
	l.write(filepath.Join(l.streams, "packed", "chat.7z"), "7z")
	l.write(filepath.Join(chatOf("folder"), "inside.json"), "{}")
	l.write(filepath.Join(l.streams, "irc", "chat.irc"), "@id=1;tmi-sent-ts=1740852000000;user-id=1 :a!a@a.tmi.twitch.tv PRIVMSG #x :hello\r\n")
	l.write(filepath.Join(l.streams, "mute", "chat.json"), "{}")
	if err := os.Symlink("nowhere", filepath.Join(l.streams, "astray")); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var notes []string
	s, err := Open(Config{Store: l.store, Sink: func(e event.Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.State == event.Note {
			notes = append(notes, e.Label+": "+e.Text)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Run(t.Context(), func() error { Load(l.streams); return nil }); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(notes, "\n")
	for _, want := range []string{"gives no pairs: chat.7z has to be unpacked", "gives no pairs: chat.json is a folder", "irc: the chat log does not say when the recording began",
		": astray is a link to nothing", ": mute has no recording beside chat.json"} {
		if !strings.Contains(all, want) {
			t.Errorf("nothing says %q:\n%s", want, all)
		}
	}
}

// TestLoadHearsOneChannel loads a recording with a speaker on each channel.
func TestLoadHearsOneChannel(t *testing.T) {
	l := newLab(t, "s")
	const rate, frames = 16000, 1600
	body := make([]byte, 0, 4*frames)
	for i := range frames {
		body = binary.LittleEndian.AppendUint16(body, uint16(int16(8000*math.Sin(2*math.Pi*500*float64(i)/rate))))
		body = append(body, 0, 0) // the right channel is silent
	}
	head := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x02\x00")
	head = binary.LittleEndian.AppendUint32(head, rate)
	head = binary.LittleEndian.AppendUint32(head, 4*rate)
	head = append(head, "\x04\x00\x10\x00data"...)
	head = binary.LittleEndian.AppendUint32(head, uint32(len(body)))
	path := filepath.Join(t.TempDir(), "two.wav")
	l.write(path, string(head)+string(body))
	session, err := Open(Config{Store: l.store})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	level := func(o ...LoadOption) float64 {
		var sum float64
		err := session.Run(t.Context(), func() error {
			stream := Load(path, o...).list[0]
			x, err := decodeSpan(t.Context(), path, stream.info.Recording.listen(), 0, 100*time.Millisecond)
			for _, v := range x {
				sum += math.Abs(float64(v)) / frames
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	both, left, right := level(), level(Channel(1)), level(Channel(2))
	if left < 0.1 || right != 0 || math.Abs(both-left/2) > 1e-3 {
		t.Errorf("levels: left %.3f, right %.3f, both %.3f", left, right, both)
	}
	for _, c := range []struct {
		o    LoadOption
		says string
	}{
		{Channel(3), "there is no channel 3: the track has 2"},
		{Track(1), "track 1 does not exist: the recording has track 0 (pcm_s16le, 16000 Hz, 2 channels, no language given)"},
		{TrackLanguage("de"), "track 0 of those in the language de does not exist"},
	} {
		err := session.Run(t.Context(), func() error { Load(path, c.o); return nil })
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("got %v", err)
		}
		t.Log(err)
	}
}

func TestStreamNamesAreText(t *testing.T) {
	for name, want := range map[string]string{"x\xe9": "not UTF-8", "x\x1b[2Jy": "control characters", "x\n12 steps": "control characters", "x\u009by": "control characters"} {
		dir := t.TempDir()
		folder := filepath.Join(dir, name)
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Logf("this file system takes no folder %q: %v", name, err)
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, "a.wav"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := find(dir, loadOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v", name, err)
		}
	}
}
