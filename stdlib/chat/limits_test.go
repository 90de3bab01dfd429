package chat

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"banter/internal/problem"
)

// repeat reads head, then unit again and again for n bytes, then tail, holding nothing of it.
type repeat struct {
	head, unit, tail string
	n, at            int64
}

func (r *repeat) Read(p []byte) (int, error) {
	for i := range p {
		switch pos := r.at - int64(len(r.head)); {
		case pos < 0:
			p[i] = r.head[r.at]
		case pos < r.n:
			p[i] = r.unit[pos%int64(len(r.unit))]
		case pos-r.n < int64(len(r.tail)):
			p[i] = r.tail[pos-r.n]
		default:
			return i, io.EOF
		}
		r.at++
	}
	return len(p), nil
}

// TestLimits checks that what would cost too much is refused by an error, in little memory.
func TestLimits(t *testing.T) {
	const huge = 1 << 30
	start := `{"comments":[{"_id":"1","content_offset_seconds":1,"commenter":{"name":"a"},"message":{"body":"ok"}},`
	for _, c := range []struct {
		name string
		r    io.Reader
		opt  Options
		want string
	}{
		{"1 GB line of text", &repeat{head: "[0:00:01] a: ok\n[0:00:02] a: ", unit: "x", n: huge}, Options{}, "longer than"},
		{"1 GB string", &repeat{head: start + `{"_id":"`, unit: "x", n: huge}, Options{}, "longer than"},
		{"1 GB line of JSON", &repeat{head: `{"replayChatItemAction":{"actions":[],"x":"`, unit: "x", n: huge}, Options{}, "longer than"},
		{"1 GB HTML message", &repeat{head: `<html><pre class="comment-root">[0:00:01] `, unit: "x", n: huge}, Options{}, "longer than"},
		{"1 GB of IRC tags", &repeat{head: "PING :x\n@", unit: "a=b;", n: huge}, Options{}, "longer than"},
		{"deep record", &repeat{head: start + `{"message":`, unit: "[", n: 1e6}, Options{}, "nest deeper"},
		{"deep unknown value", &repeat{head: `{"comments":[],"x":`, unit: `{"a":`, n: 5e6}, Options{}, "nest deeper"},
		{"deep from the first byte", &repeat{unit: "[", n: 1e6}, Options{}, ""},
		{"deep objects from the first byte", &repeat{unit: `{"a":`, n: 5e6}, Options{}, "nest deeper"},
		{"deep line", &repeat{head: `{"replayChatItemAction":{}}` + "\n" + `{"replayChatItemAction":`, unit: "[", n: 1e6}, Options{}, "nest deeper"},
		{"10 GB from 10 MB", bomb(t), Options{}, "no chat log does"},
		{"8 GB from 1 MB of xz", xzBomb(t), Options{}, "no chat log does"},
		{"10 GB in a zip archive", zipBomb(t), Options{}, "no chat log does"},
		{"larger than allowed", &repeat{head: "[0:00:01] a: ok\n", unit: "[0:00:01] a: b\n", n: 15 * 1e6}, Options{Limits: Limits{Size: 1 << 20}}, "larger than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Read(t.Context(), c.r, c.opt)
			runtime.ReadMemStats(&after)
			var p *problem.Error
			if !errors.As(err, &p) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if used := int64(after.TotalAlloc - before.TotalAlloc); used > 256<<20 {
				t.Errorf("%d MB were allocated on the way", used>>20)
			}
		})
	}
}

// bomb is a gzip stream that unpacks to 10 GB of messages, all the same.
func bomb(t *testing.T) io.Reader {
	t.Helper()
	var block bytes.Buffer // one gzip member; members may follow each other
	w, err := gzip.NewWriterLevel(&block, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, &repeat{unit: "[0:00:01] a: " + strings.Repeat("b", 1000) + "\n", n: 10e6}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	members := make([]io.Reader, 1000)
	for i := range members {
		members[i] = bytes.NewReader(block.Bytes())
	}
	return io.MultiReader(members...)
}

// xzBomb is a thousand streams of xz that unpack to 8 MB each.
func xzBomb(t *testing.T) io.Reader {
	t.Helper()
	one, err := base64.StdEncoding.DecodeString(xzBombStream)
	if err != nil {
		t.Fatal(err)
	}
	streams := make([]io.Reader, 1000)
	for i := range streams {
		streams[i] = bytes.NewReader(one)
	}
	return io.MultiReader(streams...)
}

// zipBomb is a zip archive of one file that unpacks to 10 GB: a thousand times the same blocks.
func zipBomb(t *testing.T) io.Reader {
	t.Helper()
	var block bytes.Buffer
	w, err := flate.NewWriter(&block, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, &repeat{unit: "[0:00:01] a: " + strings.Repeat("b", 1000) + "\n", n: 10e6}); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil { // not the end
		t.Fatal(err)
	}
	header := make([]byte, 30)
	copy(header, zipLocal)
	header[6], header[8], header[26] = 8, 8, 1 // sizes come later, deflated, and a name of one letter
	parts := []io.Reader{bytes.NewReader(append(header, 'a'))}
	for range 1000 {
		parts = append(parts, bytes.NewReader(block.Bytes()))
	}
	return io.MultiReader(parts...)
}

// TestHonestRepetition checks that a log in which few accounts write one text all day is read, however well it packs.
func TestHonestRepetition(t *testing.T) {
	if testing.Short() {
		t.Skip("packs 70 MB")
	}
	text := strings.Repeat("I used to be a chef like you, then I took a spoon to the knee PogChamp ", 7)
	var raw bytes.Buffer
	var n int64
	for ; raw.Len() < ratioGrace+8<<20; n++ {
		at := n / 40
		fmt.Fprintf(&raw, "[%d:%02d:%02d] viewer%d: %s\n", at/3600, at/60%60, at%60, n*n%17, text)
	}
	for _, as := range []packing{packedGzip, packedZstd, packedZip} {
		data := packed(t, raw.Bytes(), as, 6, 1<<30)
		if r := raw.Len() / len(data); r < 100 {
			t.Fatalf("%s packs only %d times, so this tells nothing", as, r)
		}
		read := int64(0)
		log, err := Scan(t.Context(), bytes.NewReader(data), Options{Strict: true}, func(Message) error { read++; return nil })
		if err != nil || read != n || log.Report.Kept != n {
			t.Errorf("%s, packed %d times: %d of %d messages, %v", as, raw.Len()/len(data), read, n, err)
		}
	}
}

// TestNotAChat checks the sentences for what is no chat log.
func TestNotAChat(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"empty":              {"", "the file is empty"},
		"blank":              {" \n\t\n", "the file is empty"},
		"web page":           {"<!DOCTYPE html><html><body><p>Please log in</p></body></html>", "this is a web page, not a chat log"},
		"XML":                {"<?xml version='1.0'?><feed/>", "not a chat log"},
		"no comments":        {`{"FileInfo":{},"comments":[]}`, "no messages in this TwitchDownloader JSON log"},
		"no comments at all": {`{"streamer":{},"video":{}}`, "no messages"},
		"empty list":         {"[ ]", "no messages"},
		"all broken":         {`{"comments":[{"a":1},{"b":2}]}`, "all of its 2 records are malformed, the first at line 1, byte 13: message is missing"},
		"other JSON":         {`{"name":"x","version":3}`, "of no chat format that is known"},
		"JSON list":          {`[{"name":"x"}]`, "of no chat format that is known"},
		"numbers":            {"[1,2,3]", "of no chat format that is known"},
		"messages of others": {`{"messages":[{"role":"user"}]}`, "of no chat format that is known"},
		"prose":              {"Dear diary,\ntoday I watched a stream.\n", `begins with "Dear diary,"`},
		"without times":      {"ada: hi\nbo: hello\n", "has no times"},
		"zip":                {"PK\x03\x04" + strings.Repeat("\x00", 26) + "something else", "damaged zip data"},
		"video":              {"\x00\x00\x00\x20ftypisom\x00\x00", "a video"},
		"sound":              {"OggS\x00\x02", "a sound file"},
		"broken gzip":        {"\x1f\x8bnonsense", "gzip"},
		"cut gzip":           {string(gzipped([]byte(strings.Repeat("[0:00:01] a: b\n", 1000)))[:12]), "truncated gzip"},
		"binary":             {"\x01\x02\x03\x04\x05", "not a chat log of any known format"},
	} {
		_, err := Read(t.Context(), strings.NewReader(c.text), Options{})
		var p *problem.Error
		if !errors.As(err, &p) || !strings.Contains(err.Error(), c.want) || p.Op != "read chat" {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	if _, err := Open(t.Context(), "testdata/no-such-file.json", Options{}); err == nil || err.Error() != "read chat testdata/no-such-file.json: no such file or directory" {
		t.Errorf("got %v", err)
	}
}

// TestTruncated checks that a log that ends early keeps what it holds, and says so; Strict makes it an error.
func TestTruncated(t *testing.T) {
	text := twitchLog([]float64{1, 2.5, 3.25, 10, 11}, "", same, same)
	for cut := strings.Index(text, `{"_id":"m3"`); cut < len(text)-1; cut++ {
		log, err := Read(t.Context(), strings.NewReader(text[:cut]), Options{})
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if n := len(log.Messages); n < 3 || n > 5 || log.Report.Malformed != 1 {
			t.Fatalf("cut at %d: %d messages, %+v", cut, n, log.Report)
		}
		if _, err := Read(t.Context(), strings.NewReader(text[:cut]), Options{Strict: true}); err == nil {
			t.Fatalf("cut at %d: Strict took it", cut)
		}
	}
}

// TestBrokenRecords checks that damage to one record leaves the others whole.
func TestBrokenRecords(t *testing.T) {
	good := func(id string) string {
		return `{"_id":"` + id + `","content_offset_seconds":1,"commenter":{"_id":"7","name":"a"},"message":{"body":"b"}}`
	}
	for _, broken := range []string{
		`{"_id":"x" "content_offset_seconds":1}`, `{}`, `null`, `7`, `"text"`, `[1,2]`, `{"message":{"body":"no time"}}`, `{"_id":{"a":1}}`,
		`{"content_offset_seconds":1e99,"message":{"body":"b"}}`, `{"content_offset_seconds":1,"message":7}`, `{"content_offset_seconds":true,"message":{"body":"b"}}`,
		`{"content_offset_seconds":1,"message":{"body":["b"]}}`, `{"content_offset_seconds":1,"commenter":"a","message":{"body":"b"}}`,
	} {
		text := `{"comments":[` + good("1") + "," + broken + "," + good("2") + "]}"
		log, err := Read(t.Context(), strings.NewReader(text), Options{})
		if err != nil {
			t.Errorf("%s: %v", broken, err)
			continue
		}
		if len(log.Messages) != 2 || log.Report.Malformed != 1 || log.Report.Read != 3 {
			t.Errorf("%s: %d messages, %+v", broken, len(log.Messages), log.Report)
		}
	}
}

// TestRecent checks that ids are known for at least half a million others, and forgotten in the end.
func TestRecent(t *testing.T) {
	r := recent{seed: maphash.MakeSeed()}
	id := func(i int) string { return strconv.Itoa(i) }
	const n = 5 * generation / 2
	for i := range n {
		if r.again(id(i)) {
			t.Fatalf("id %d is known before it came", i)
		}
		if i%1000 == 0 && !r.again(id(max(0, i-generation+1))) {
			t.Fatalf("id %d is forgotten after %d others", i-generation+1, generation-1)
		}
	}
	if r.again(id(0)) {
		t.Errorf("the first of %d ids is still known", n)
	}
	if slots := len(r.newer.slots) + len(r.older.slots); slots > 4*generation {
		t.Errorf("%d slots for %d ids", slots, 2*generation)
	}
}

// TestLinesAcrossWindows checks that line numbers are right wherever the window's edges fall.
func TestLinesAcrossWindows(t *testing.T) {
	var b strings.Builder
	for i := range 3000 {
		b.WriteString("[0:00:01] a: " + strings.Repeat("x", i%97) + "\n")
		if i%500 == 499 {
			b.WriteString("[0:00:0] a: broken\n")
		}
	}
	text := b.String()
	for _, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text)), iotest.HalfReader(strings.NewReader(text))} {
		w := newWindow(r, 1<<20)
		for number := int64(1); ; number++ {
			at := w.line()
			_, some, err := w.lineBytes()
			if err != nil {
				t.Fatal(err)
			}
			if !some {
				break
			}
			if at != number {
				t.Fatalf("line %d is called %d", number, at)
			}
		}
	}
}

// TestMessagesInMemory checks that a log of ever more messages is refused where they are held, and taken where they pass.
func TestMessagesInMemory(t *testing.T) {
	text := strings.Repeat("[0:00:01] a: hello\n", 101)
	opt := Options{Limits: Limits{Messages: 100}}
	if _, err := Read(t.Context(), strings.NewReader(text), opt); err == nil || !strings.Contains(err.Error(), "more than 100 messages") {
		t.Errorf("error %v", err)
	}
	n := 0
	if _, err := Scan(t.Context(), strings.NewReader(text), opt, func(Message) error { n++; return nil }); err != nil || n != 101 {
		t.Errorf("%d messages, %v", n, err)
	}
	opt.Limits.Messages = 101
	if _, err := Read(t.Context(), strings.NewReader(text), opt); err != nil {
		t.Error(err)
	}
}

// xzBombStream is what xz makes of 8,000 times the same message of 1,000 letters.
const xzBombStream = "" +
	"/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj///TAX5dAC2MA0MoxiJr7cUO94RwYzjKKputlrqqvyBwb6IrafqiUW9dgEvqiqb3nna+LwpPHG2pp0AQwqx9qWCK" +
	"cLmRZSBSoBAD5SGBhb0UvpB0wk9upx0K9V8gaMuWJVThST4lMt46O5SeQdjiNGv2VPCIdSww28JQVJEilwYDX8lwOxTAMjeYpRUBpeijCSrsqv9aJqxyDBaS" +
	"p745jyThcJ6nI1/sKMuF0ZWYin4qkfIndfcZwAaYTZj92K/VkA/EJVP49ZE2MQWlsO5vwXBNRwzRkRGqrWAdus6xJxhcWYbpZlJYvul2rFnk5VsFCPnH2q38" +
	"+1IrdM0eWyBC+d1TPfgpZAk7gMsqbN+1O/DEvS5fqg8+S2ZCkBMO/xCT+HF4WfgLzf+VKEYPqfx83vuaMC5WwI+F84OBwGXEJVP49ZE2MQWlsO5vwXBNRwzR" +
	"kRGqrWAdus6xJxhcWYbpZlJYvul2rFnk5VsFCPnH2q38+1IrdM0eWyBC+d1TPfgpY4VZ/H+f/xABKwDsc1On/b6ufDEan7eNMW5wnqcjX+woy4XRlZiKfiqR" +
	"8id19xnABphNmP3Yr9WQD8QlU/j1kTYxBaWw7m/BcE1HDNGREaqtYB26zrEnGFxZhulmUli+6XasWeTlWwUI+cfarfz7Uit0zR5bIEL53VM9+ClkCTuAyyps" +
	"37U78MS9Ll+qDz5LZkKQEw7/EJP4cXhZ+AvN/5UoRg+p/Hze+5owLlbAj4Xzg4HAZcQlU/j1kTYxBaWw7m/BcE1HDNGREaqtYB26zrEnGFxZhulmUli+6Xas" +
	"WeTlWwUI+cfarfz7Uit0zR5bIEL53VM9+ClkCTuAyyps37U78MS9Ll+qDz5LZkKQEw7/EJP4cXhZ+AvN/5UoRg+p/Hze+5owLlbAj4Xzg4HAZcQlUQ8/sp//" +
	"EAErAOxzU6f9vq58MRqft40xbnCepyNf7CjLhdGVmIp+KpHyJ3X3GcAGmE2Y/div1ZAPxCVT+PWRNjEFpbDub8FwTUcM0ZERqq1gHbrOsScYXFmG6WZSWL7p" +
	"dqxZ5OVbBQj5x9qt/PtSK3TNHlsgQvndUz34KWQJO4DLKmzftTvwxL0uX6oPPktmQpATDv8Qk/hxeFn4C83/lShGD6n8fN77mjAuVsCPhfODgcBlxCVT+PWR" +
	"NjEFpbDub8FwTUcM0ZERqq1gHbrOsScYXFmG6WZSWL7pdqxZ5OVbBQj5x9qt/PtSK3TNHlsgQvndUz34KWQJO4DLKmzftTvwxL0uX6oPPktmQpATDv8Qk/hx" +
	"eFn4C83/lShGD6n8fN77mjAuVsCPhfODgcBlxCVRDz+ym8mJAQYA7HNTp/2+rnwxGp+3jTFucJ6nI1/sKMuF0ZWYin4qkfIndfcZwAaYTZj92K/VkA/EJVP4" +
	"9ZE2MQWlsO5vwXBNRwzRkRGqrWAdus6xJxhcWYbpZlJYvul2rFnk5VsFCPnH2q38+1IrdM0eWyBC+d1TPfgpZAk7gMsqbN+1O/DEvS5fqg8+S2ZCkBMO/xCT" +
	"+HF4WfgLzf+VKEYPqfx83vuaMC5WwI+F84OBwGXEJVP49ZE2MQWlsO5vwXBNRwzRkRGqrWAdus6xJxhcWYbpZlJYvul2rFnk5VsFCPnH2q38+1IrdM0eWyBC" +
	"+d1TPfgpZAk7gMsqbN+1O/DEvS5fqg8+S2Rw4NAAAABUNlBt1aiaBgABiAqAj+8D1g7ZPLHEZ/sCAAAAAARZWg=="
