package chat

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// fuzz feeds a reader with what the fuzzer makes of the sample files, and holds what comes out to what every message
// promises. The reader must give the same whether the text comes at once or in crumbs.
func fuzz(f *testing.F, open func(*pass) reader, samples ...string) {
	for _, s := range samples {
		raw, err := os.ReadFile(filepath.Join("testdata", s))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	limits := Limits{Record: 1 << 16, Size: 1 << 20, Depth: 32}
	f.Fuzz(func(t *testing.T, raw []byte) {
		whole, err := readWith(t, open, raw, limits, false)
		crumbs, crumbsErr := readWith(t, open, raw, limits, true)
		if (err == nil) != (crumbsErr == nil) || err != nil && err.Error() != crumbsErr.Error() {
			t.Fatalf("at once: %v\nin crumbs: %v", err, crumbsErr)
		}
		if err != nil {
			return
		}
		if !reflect.DeepEqual(whole, crumbs) {
			t.Fatalf("at once and in crumbs differ:\n%+v\n%+v", whole, crumbs)
		}
		r := whole.Report
		if r.Kept != int64(len(whole.Messages)) || r.Read != r.Kept+r.Malformed+r.Ignored+r.Duplicates {
			t.Fatalf("the report does not add up: %+v for %d messages", r, len(whole.Messages))
		}
		for i, m := range whole.Messages {
			if !utf8.ValidString(m.Text) || strings.ContainsAny(m.Text, "\r\n\u2028\u2029") || !utf8.ValidString(m.Author.Name) || m.ID == "" {
				t.Fatalf("message %d is not clean: %+v", i, m)
			}
			if m.Position < 0 || m.Position > int64(len(raw)) {
				t.Fatalf("message %d lies at %d of %d bytes", i, m.Position, len(raw))
			}
			if i > 0 && m.Time < whole.Messages[i-1].Time {
				t.Fatalf("message %d is out of order", i)
			}
			last := 0
			for _, e := range m.Emotes {
				if e.Start < last || e.End <= e.Start || e.End > len(m.Text) || m.Text[e.Start:e.End] != e.Name {
					t.Fatalf("message %d, %q: emote %+v", i, m.Text, e)
				}
				last = e.End
			}
		}
		if open != nil { // once is enough
			return
		}
		var table bytes.Buffer
		if err := WriteParquet(&table, whole.Messages); err != nil {
			t.Fatal(err)
		}
		if back, err := ReadParquet(bytes.NewReader(table.Bytes()), int64(table.Len())); err != nil || len(back) != len(whole.Messages) {
			t.Fatalf("%d of %d messages came back from the table: %v", len(back), len(whole.Messages), err)
		}
	})
}

// readWith is Read with the reader given, or found by content where open is nil.
func readWith(t *testing.T, open func(*pass) reader, raw []byte, limits Limits, crumbs bool) (*Log, error) {
	if open == nil {
		if crumbs {
			return Read(t.Context(), &dribble{b: raw}, Options{Limits: limits})
		}
		return Read(t.Context(), bytes.NewReader(raw), Options{Limits: limits})
	}
	p, err := newPass(t.Context(), bytes.NewReader(raw), 0, Options{Limits: limits})
	if err != nil {
		return nil, err
	}
	if crumbs {
		p.w = newWindow(&dribble{b: raw}, limits.Record)
	} else {
		p.w = newWindow(bytes.NewReader(raw), limits.Record)
	}
	var messages []Message
	p.emit = func(m *Message) error {
		messages = append(messages, *m)
		return nil
	}
	if err := open(p)(p); err != nil {
		return nil, err
	}
	facts := p.conclude()
	for i := range messages {
		facts.finish(&messages[i], &p.log.Report)
	}
	sortMessages(messages)
	p.log.Messages = messages
	return &p.log, nil
}

func is(r reader) func(*pass) reader { return func(*pass) reader { return r } }

func FuzzRead(f *testing.F) {
	var all []string
	for _, c := range formatCases {
		all = append(all, c.file)
	}
	fuzz(f, nil, all...)
}

func FuzzTwitchDownloader(f *testing.F) {
	f.Add([]byte(`{"comments":[{"content_offset_seconds":1,"message":{"body":"Kappa","fragments":[{"text":"Kappa","emoticon":{"emoticon_id":"25"}}]},"message":{"body":"no emote"}}]}`))
	fuzz(f, is(readTwitchDownloader), "twitchdownloader-1.4.0.json", "twitchdownloader-1.0.0.json")
}

func FuzzHTML(f *testing.F) { fuzz(f, is(readHTML), "twitchdownloader.html") }

func FuzzColonText(f *testing.F) {
	fuzz(f, is(readText(TwitchDownloaderText, colonStyle)), "twitchdownloader.txt", "twitchdownloader-utc.txt")
}

func FuzzTCD(f *testing.F) {
	f.Add([]byte("[0:00:03] <@%Ada> hi\n[1 day, 0:00:02] *Bo waves]\nmore\n"))
	fuzz(f, is(readText(TCD, angleStyle)), "chat.tcd")
}

func FuzzJustlogText(f *testing.F) {
	f.Add([]byte("[2025-04-1 18:00:02] #chef  has been banned\r\n[2025-04-1 18:00:02] #chef dee: dee has been timed out for 6 seconds\r\n"))
	fuzz(f, is(readText(JustlogText, channelStyle)), "justlog.txt")
}

func FuzzIRC(f *testing.F) { fuzz(f, is(readIRC), "twitch.irc") }

func FuzzJustlogJSON(f *testing.F) { fuzz(f, is(readMessages), "justlog.json", "kick.json") }

func FuzzYouTube(f *testing.F) {
	fuzz(f, func(p *pass) reader { return inLines(p, YouTubeLiveChat, p.youTubeRecord) }, "ytdlp.live_chat.json")
}

func FuzzChatDownloader(f *testing.F) {
	f.Add([]byte(`[{"message_id":"a","message":":joy::_chefHi:","time_in_seconds":1,"message_type":"new_comment","parent_message_id":"t1_b","author":{"id":"1","is_verified":true,"badges":[{"title":"M","icon_name":"moderator"}]},"emotes":[{"id":"😂","name":":joy:","is_custom_emoji":false},{"id":"x","name":":_chefHi:","is_custom_emoji":true}]}]`))
	fuzz(f, func(p *pass) reader { return inArray(p, ChatDownloader, p.chatDownloaderRecord) }, "chatdownloader.json")
}

func FuzzKickEvents(f *testing.F) {
	f.Add([]byte(`{"event":"App\\Events\\ChatMessageSentEvent","data":{"message":{"id":"b","message":"hot [emoji:angel]","created_at":1677379979},"user":{"id":5,"username":"Bo","role":"Moderator","follower_badges":["OG"],"is_subscribed":true,"months_subscribed":3}}}
{"event":"App\\Events\\ChatMessageDeletedEvent","data":"{\"deletedMessage\":{\"id\":\"b\"}}"}
{"message_id":"c","replies_to":{"message_id":"b"},"sender":{"user_id":6,"username":"Cy","channel_slug":"cy"},"content":"x","created_at":"2025-04-01T18:00:02Z"}
{"broadcaster":{"user_id":1},"banned_user":{"user_id":6},"metadata":{"created_at":"2025-04-01T18:00:03Z"}}
`))
	fuzz(f, func(p *pass) reader { return inLines(p, Kick, p.kickRecord) }, "kick-events.jsonl")
}

func FuzzParquet(f *testing.F) {
	log, err := Open(f.Context(), filepath.Join("testdata", "twitchdownloader-1.4.0.json"), Options{})
	if err != nil {
		f.Fatal(err)
	}
	var table bytes.Buffer
	if err := WriteParquet(&table, log.Messages); err != nil {
		f.Fatal(err)
	}
	f.Add(table.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		messages, err := ReadParquet(bytes.NewReader(raw), int64(len(raw)))
		if err != nil && messages != nil {
			t.Fatal("both messages and an error")
		}
	})
}
