package chat

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"banter/internal/problem"
)

// line writes what a test cares about of a message, so that expectations read as the log did.
func line(m Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%.3f ±%v %s|%s|%s|%s: %q", m.Time.Seconds(), m.Precision, m.ID, m.Author.ID, m.Author.Login, m.Author.Name, m.Text)
	if len(m.Author.Badges) > 0 {
		fmt.Fprintf(&b, " badges=%s roles=%05b", strings.Join(m.Author.Badges, ","), m.Author.Roles)
	} else if m.Author.Roles != 0 {
		fmt.Fprintf(&b, " roles=%05b", m.Author.Roles)
	}
	for _, e := range m.Emotes {
		fmt.Fprintf(&b, " [%s %s %s=%q]", e.Provider, e.ID, e.Name, m.Text[e.Start:e.End])
	}
	if m.ReplyTo != "" {
		b.WriteString(" reply=" + m.ReplyTo)
	}
	if m.Room != "" {
		b.WriteString(" room=" + m.Room)
	}
	if m.Notice != "" {
		b.WriteString(" notice=" + m.Notice)
	}
	if m.Bits != 0 {
		fmt.Fprintf(&b, " bits=%d", m.Bits)
	}
	if m.Action {
		b.WriteString(" action")
	}
	if m.Deleted {
		b.WriteString(" deleted")
	}
	return b.String()
}

var formatCases = []struct {
	file    string
	source  Source
	clock   ClockKind
	report  Report // Problems are compared by their number and lines
	lines   []int64
	want    []string
	anyID   bool // ids are digests
	options Options
}{
	{
		file: "twitchdownloader-1.4.0.json",
		source: Source{Format: TwitchDownloaderJSON, Version: "1.4.0", StreamID: "99001", Title: `Soup "live" </title>`, Streamer: "kuechenchef",
			Created: time.Date(2025, 4, 1, 18, 0, 0, 0, time.UTC), End: 2 * time.Minute, Length: 2 * time.Minute},
		clock:  Recovered,
		report: Report{Read: 7, Kept: 5, Malformed: 1, Duplicates: 1},
		lines:  []int64{7},
		want: []string{
			`3.250 ±1ms aaaa-1|1|ada|Ada: "hi Kappa catJAM" badges=moderator/1,subscriber/12 roles=00110 [twitch 25 Kappa="Kappa"] [bttv 5f1b0186cf6d2144653d2970 catJAM="catJAM"]`,
			`4.750 ±1ms aaaa-2|2|nightbot|Nightbot: "Follow the chef" badges=bot-badge/1 roles=100000`,
			`10.000 ±1ms aaaa-3|3|rie|莉: "cheer100 😂 über gut Kappa" badges=bits/100 roles=00000 [twitch 25 Kappa="Kappa"] bits=100 action`,
			`20.500 ±1ms aaaa-4|||: "from a deleted account" notice=resub`,
			`31.999 ±1ms aaaa-6|5|bo|Bo: "catJAM <script>alert(1)</script>" [bttv 5f1b0186cf6d2144653d2970 catJAM="catJAM"]`,
		},
	},
	{
		file:   "twitchdownloader-1.0.0.json",
		source: Source{Format: TwitchDownloaderJSON, Streamer: "kuechenchef", Start: time.Minute, End: 3 * time.Minute},
		clock:  FineOffsets,
		report: Report{Read: 3, Kept: 3},
		want: []string{ // offsets count from the whole video, the recording from its trimmed start
			`5.123 ±1ms b-1|1|ada|Ada: "😂 Kappa LUL" [twitch 25 Kappa="Kappa"] [twitch 425618 LUL="LUL"]`,
			`7.456 ±1ms b-2|2|bo|Bo: "PogChamp" badges=vip/1 roles=01000 [twitch 305954156 PogChamp="PogChamp"]`,
			`119.500 ±1ms b-3|2|bo|Bo: "bye"`,
		},
	},
	{
		file:    "twitchdownloader.txt",
		source:  Source{Format: TwitchDownloaderText},
		clock:   WholeSeconds,
		report:  Report{Read: 5, Kept: 4, Malformed: 1},
		lines:   []int64{4},
		anyID:   true,
		options: Options{Emotes: []EmoteCode{{ID: "e1", Name: "Kappa", Provider: "ffz"}}},
		want: []string{
			`3.000 ±1s |ada|ada|Ada: "hi Kappa" [ffz e1 Kappa="Kappa"]`,
			`10.000 ±1s |rie|rie|莉: "first: things: first"`,
			`62.000 ±1s |bo|bo|Bo: ""`,
			`93601.000 ±1s |bo|bo|Bo: "still here"`,
		},
	},
	{
		file: "twitchdownloader-utc.txt", source: Source{Format: TwitchDownloaderText}, clock: WallFirst, report: Report{Read: 2, Kept: 2}, anyID: true,
		want: []string{`0.000 ±1ms |ada|ada|Ada: "hi Kappa"`, `6.750 ±1ms |bo|bo|Bo: "hello"`},
	},
	{
		file: "chatterino.log", source: Source{Format: TwitchDownloaderText}, clock: WallFirst, report: Report{Read: 3, Kept: 3}, anyID: true,
		want: []string{`0.000 ±1s |ada|ada|ada: "good evening"`, `3595.000 ±1s |bo|bo|bo: "nearly midnight"`, `3605.000 ±1s |ada|ada|ada: "and past it"`},
	},
	{
		file: "twitchdownloader.html", source: Source{Format: TwitchDownloaderHTML}, clock: WholeSeconds, report: Report{Read: 3, Kept: 2, Malformed: 1}, lines: []int64{14}, anyID: true,
		want: []string{
			`3.000 ±1s |ada|ada|Ada: "hi Kappa a <b> & c" badges=subscriber/12 roles=00100 [twitch 25 Kappa="Kappa"]`,
			`10.000 ±1s |rie|rie|莉: "catJAM" [7tv 01F6MQ33FG000FFJ97ZB8MWV52 catJAM="catJAM"]`,
		},
	},
	{
		file: "chat.tcd", source: Source{Format: TCD}, clock: WholeSeconds, report: Report{Read: 4, Kept: 4}, anyID: true,
		want: []string{
			`3.000 ±1s |ada|ada|Ada: "hi" badges=subscriber roles=00100`,
			`10.000 ±1s |bo|bo|Bo: "a body that goes on  over lines"`,
			`12.000 ±1s |bo|bo|Bo: "waves" action`,
			`3600.000 ±1s |chef|chef|Chef: "[soup] is <ready>" badges=broadcaster roles=00001`,
		},
	},
	{
		file: "ytdlp.live_chat.json", source: Source{Format: YouTubeLiveChat}, clock: FineOffsets,
		report: Report{Read: 9, Kept: 5, Malformed: 1, Ignored: 3, Deleted: 2, Negative: 1}, lines: []int64{8},
		want: []string{
			`-100.000 ±1ms y-0|UCearly||Early: "waiting"`,
			`1.500 ±1ms y-1|UCmo||Mo: "hello :_chefHi:😂" badges=MODERATOR,Member/6 months roles=00110 [youtube UCx/abc :_chefHi:=":_chefHi:"]`,
			`5.000 ±1ms y-2|UCpat||Pat: "take my money" notice=paid deleted`,
			`7.000 ±1ms y-3|UCrude||Rude: "rude" deleted`,
			`12.000 ±1ms y-4|UCrude||Rude: "sorry"`,
		},
	},
	{
		file: "chatdownloader.json", source: Source{Format: ChatDownloader}, clock: Recovered,
		report: Report{Read: 6, Kept: 3, Malformed: 1, Ignored: 2, Deleted: 1}, lines: []int64{7}, anyID: true,
		want: []string{ // the smallest wall clock minus offset is that of the third: 1743530400.000001
			`3.250 ±1ms c-1|1|ada|Ada: "hi Kappa Kappa" badges=moderator/1 roles=00010 [twitch 25 Kappa="Kappa"] [twitch 25 Kappa="Kappa"] deleted`,
			`9.875 ±1ms c-2|UCmo||Mo: "é :_chefHi: ok" badges=Member/6 months roles=00100 [youtube UCx/abc :_chefHi:=":_chefHi:"]`,
			`15.000 ±1ms |oldname|oldname|oldname: "an early version wrote names only"`,
		},
	},
	{
		file: "twitch.irc", source: Source{Format: IRC, Streamer: "kuechenchef"}, clock: WallFirst,
		report: Report{Read: 11, Kept: 6, Malformed: 1, Ignored: 4, Deleted: 2}, lines: []int64{10},
		want: []string{
			`0.000 ±1ms i-1|1|ada|Ada: "hi Kappa é Kappa" badges=moderator/1,subscriber/12 roles=00110 [twitch 25 Kappa="Kappa"] [twitch 25 Kappa="Kappa"]`,
			`0.750 ±1ms i-2|5|bo|Bo: "@Ada hello: you" reply=i-1 bits=50`,
			`1.750 ±1ms i-3|5|bo|Bo: "waves" action deleted`,
			`2.750 ±1ms i-4|6|cy|Cy: "love this" badges=subscriber/2 roles=00100 notice=resub`,
			`3.750 ±1ms i-5|7|dee|Dee: "spam" deleted`,
			`595.750 ±1ms i-6|7|dee|Dee: "back again"`,
		},
	},
	{
		file: "justlog.json", source: Source{Format: JustlogJSON, Streamer: "kuechenchef"}, clock: WallFirst, report: Report{Read: 3, Kept: 2, Ignored: 1, Deleted: 1},
		want: []string{
			`0.000 ±1ms j-1|1|ada|Ada: "hi Kappa" badges=vip/1 roles=01000 [twitch 25 Kappa="Kappa"] deleted`,
			`2.250 ±1ms j-2|5|bo|Bo: "no raw; here" badges=broadcaster/1 roles=00001`,
		},
	},
	{
		file: "justlog.txt", source: Source{Format: JustlogText, Streamer: "kuechenchef"}, clock: WallFirst, report: Report{Read: 3, Kept: 2, Ignored: 1}, anyID: true,
		want: []string{`0.000 ±1s |ada|ada|ada: "hi Kappa"`, `7.000 ±1s |bo|bo|bo: "hello: there"`},
	},
	{
		file: "kick.json", source: Source{Format: Kick}, clock: WallClock, report: Report{Read: 2, Kept: 2, Unsorted: 1},
		options: Options{Clock: ClockOptions{Start: time.Date(2025, 4, 1, 18, 0, 0, 0, time.UTC)}},
		want: []string{
			`3.000 ±1s k-1|1|ada|Ada: "ready?" badges=moderator,subscriber/3 roles=00110`,
			`7.000 ±1s k-2|5|bo|Bo: "@ada yes KEKW emote39251" [kick 37226 KEKW="KEKW"] [kick 39251 emote39251="emote39251"] reply=k-1`,
		},
	},
	{
		file: "kick-events.jsonl", source: Source{Format: Kick}, clock: WallFirst, report: Report{Read: 4, Kept: 2, Ignored: 2, Deleted: 1},
		want: []string{
			`0.000 ±1s e-1|1|ada|Ada: "ready?" badges=broadcaster roles=00001`,
			`2.000 ±1s e-2|9|rude|Rude: "bad words" deleted`,
		},
	},
}

func TestFormats(t *testing.T) {
	for _, c := range formatCases {
		t.Run(c.file, func(t *testing.T) {
			log, err := Open(t.Context(), filepath.Join("testdata", c.file), c.options)
			if err != nil {
				t.Fatal(err)
			}
			if log.Source != c.source {
				t.Errorf("source\n got %+v\nwant %+v", log.Source, c.source)
			}
			if log.Clock.Kind != c.clock {
				t.Errorf("clock is %q (%v), want %q", log.Clock.Kind, log.Clock, c.clock)
			}
			var lines []int64
			for _, p := range log.Report.Problems {
				lines = append(lines, p.Line)
			}
			if !slices.Equal(lines, c.lines) {
				t.Errorf("malformed at lines %v, want %v: %v", lines, c.lines, log.Report.Problems)
			}
			got := log.Report
			got.Problems = nil
			if !reflect.DeepEqual(got, c.report) {
				t.Errorf("report\n got %+v\nwant %+v", got, c.report)
			}
			for i, m := range log.Messages {
				if c.anyID && len(m.ID) == 32 {
					m.ID = ""
				}
				if i >= len(c.want) {
					t.Errorf("unexpected message %s", line(m))
				} else if got := line(m); got != c.want[i] {
					t.Errorf("message %d\n got %s\nwant %s", i, got, c.want[i])
				}
			}
			if len(log.Messages) < len(c.want) {
				t.Errorf("%d messages, want %d", len(log.Messages), len(c.want))
			}
		})
	}
}

// TestPositions checks that every position and malformed record points at the bytes it was read from.
func TestPositions(t *testing.T) {
	for _, c := range formatCases {
		raw, err := os.ReadFile(filepath.Join("testdata", c.file))
		if err != nil {
			t.Fatal(err)
		}
		log, err := Read(t.Context(), bytes.NewReader(raw), c.options)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range log.Messages {
			head := raw[m.Position:]
			record, _, _ := bytes.Cut(head, []byte("\n"))
			if m.Author.Name != "" && !bytes.Contains(bytes.ToLower(head[:min(len(head), 1200)]), []byte(strings.ToLower(m.Author.Login))) {
				t.Errorf("%s: position %d of %q holds %.60q", c.file, m.Position, m.Text, record)
			}
			if m.Position > 0 && strings.ContainsRune("abcdefghijklmnopqrstuvwxyz", rune(head[0])) {
				t.Errorf("%s: position %d is inside a record: %.60q", c.file, m.Position, record)
			}
		}
		for _, p := range log.Report.Problems {
			if n := int64(bytes.Count(raw[:p.Position], []byte("\n"))) + 1; n != p.Line {
				t.Errorf("%s: byte %d is on line %d, not %d", c.file, p.Position, n, p.Line)
			}
		}
	}
}

// TestStrict checks that exactly the logs with malformed records are refused, and that the error names the line.
func TestStrict(t *testing.T) {
	for _, c := range formatCases {
		opt := c.options
		opt.Strict = true
		_, err := Open(t.Context(), filepath.Join("testdata", c.file), opt)
		switch {
		case c.report.Malformed == 0 && err != nil:
			t.Errorf("%s: %v", c.file, err)
		case c.report.Malformed > 0:
			var p *problem.Error
			if !errors.As(err, &p) || !strings.HasPrefix(p.At, fmt.Sprintf("line %d,", c.lines[0])) {
				t.Errorf("%s: got %v, want an error at line %d", c.file, err, c.lines[0])
			}
		}
	}
}

// TestPacking checks that gzip, byte order marks, UTF-16 and slow readers change nothing.
func TestPacking(t *testing.T) {
	utf16Of := func(raw []byte, big, bom bool) []byte {
		var out []byte
		units := utf16.Encode([]rune(string(raw)))
		if bom {
			units = append([]uint16{0xfeff}, units...)
		}
		for _, u := range units {
			if big {
				out = append(out, byte(u>>8), byte(u))
			} else {
				out = append(out, byte(u), byte(u>>8))
			}
		}
		return out
	}
	packings := map[string]func([]byte) []byte{
		"gzip": gzipped,
		"two gzip members": func(raw []byte) []byte {
			return append(gzipped(raw[:len(raw)/2]), gzipped(raw[len(raw)/2:])...)
		},
		"byte order mark":        func(raw []byte) []byte { return append([]byte("\xef\xbb\xbf"), raw...) },
		"UTF-16LE":               func(raw []byte) []byte { return utf16Of(raw, false, true) },
		"UTF-16BE":               func(raw []byte) []byte { return utf16Of(raw, true, true) },
		"UTF-16LE without mark":  func(raw []byte) []byte { return utf16Of(raw, false, false) },
		"UTF-16BE without mark":  func(raw []byte) []byte { return utf16Of(raw, true, false) },
		"UTF-16 in gzip":         func(raw []byte) []byte { return gzipped(utf16Of(raw, false, true)) },
		"as it is, byte by byte": func(raw []byte) []byte { return raw },
	}
	for _, c := range formatCases {
		raw, err := os.ReadFile(filepath.Join("testdata", c.file))
		if err != nil {
			t.Fatal(err)
		}
		if !utf8.Valid(raw) {
			t.Fatalf("%s is not UTF-8", c.file)
		}
		want, err := Read(t.Context(), bytes.NewReader(raw), c.options)
		if err != nil {
			t.Fatal(err)
		}
		for name, pack := range packings {
			got, err := Read(t.Context(), &dribble{b: pack(raw)}, c.options)
			if err != nil {
				t.Errorf("%s, %s: %v", c.file, name, err)
				continue
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s: the log reads differently:\n got %+v\nwant %+v", c.file, name, got, want)
			}
		}
	}
}

// dribble gives a few bytes at a time.
type dribble struct {
	b []byte
	n int
}

func (d *dribble) Read(p []byte) (int, error) {
	d.n++
	n := copy(p[:min(len(p), 1+d.n%37)], d.b)
	d.b = d.b[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func gzipped(raw []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(raw)
	_ = w.Close()
	return b.Bytes()
}

// TestScan checks that scanning gives what reading gives, but for the order.
func TestScan(t *testing.T) {
	for _, c := range formatCases {
		raw, err := os.ReadFile(filepath.Join("testdata", c.file))
		if err != nil {
			t.Fatal(err)
		}
		want, err := Read(t.Context(), bytes.NewReader(raw), c.options)
		if err != nil {
			t.Fatal(err)
		}
		var messages []Message
		got, err := Scan(t.Context(), bytes.NewReader(raw), c.options, func(m Message) error {
			messages = append(messages, m)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		sortMessages(messages)
		got.Messages = messages
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: scanned\n got %+v\nwant %+v", c.file, got, want)
		}
	}
	stop := errors.New("enough")
	if _, err := Scan(t.Context(), strings.NewReader("[0:00:01] a: b\n"), Options{}, func(Message) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the callback's error became %v", err)
	}
}

// TestParquet checks that a table keeps every field and that its bytes are the same each time.
func TestParquet(t *testing.T) {
	var all []Message
	for _, c := range formatCases {
		log, err := Open(t.Context(), filepath.Join("testdata", c.file), c.options)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, log.Messages...)
	}
	for len(all) < 5000 { // several batches
		all = append(all, all...)
	}
	var first, second bytes.Buffer
	if err := WriteParquet(&first, all); err != nil {
		t.Fatal(err)
	}
	if err := WriteParquet(&second, all); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same messages gave different bytes")
	}
	got, err := ReadParquet(bytes.NewReader(first.Bytes()), int64(first.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(all) {
		t.Fatalf("%d of %d messages came back", len(got), len(all))
	}
	for i := range all {
		if len(all[i].Emotes) == 0 {
			all[i].Emotes = nil
		}
		if !reflect.DeepEqual(got[i], all[i]) {
			t.Fatalf("message %d\n got %+v\nwant %+v", i, got[i], all[i])
		}
	}
	for _, n := range []int{0, 3, 100, first.Len() / 2, first.Len() - 1} {
		if _, err := ReadParquet(bytes.NewReader(first.Bytes()[:n]), int64(n)); err == nil {
			t.Errorf("a table cut to %d bytes was read", n)
		}
	}
	var empty bytes.Buffer
	if err := WriteParquet(&empty, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadParquet(bytes.NewReader(empty.Bytes()), int64(empty.Len())); err != nil || len(got) != 0 {
		t.Errorf("an empty table gave %v, %v", got, err)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, filepath.Join("testdata", "chat.tcd"), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
