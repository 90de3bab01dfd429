package dsl

import (
	"regexp"
	"strings"
	"testing"
	"unicode"

	"banter/stdlib/chat"
)

func TestPairCard(t *testing.T) {
	p := Pair{Stream: "soup", MessageID: "m1", AuthorHash: "0123456789abcdef", Speech: "what should we cook", SpeechStart: 61 * Second, SpeechEnd: 64 * Second,
		FirstWord: 3, LastWord: 7, Response: "ramen please", MessageTime: 72 * Second, Lag: 4 * Second, Delay: 2500 * Millisecond, Confidence: 0.875, FDR: 0.0625,
		AuthorRoles: chat.Moderator | chat.Subscriber, Emotes: 1, Bits: 100, ReplyTo: "m0", Deleted: true, SpeechProb: 0.9}
	forms := PairCard(p).MimeBundle()
	for mime, wants := range map[string][]string{
		"text/html": {"what should we cook", "ramen please", "01:01.0", "2.5 s", "a moderator", "a subscriber", "0.875", "0.062", "removed by a moderator",
			"Play(streams, &#34;soup&#34;, 61000*Millisecond, 69000*Millisecond)"},
		"text/plain": {"what should we cook", "ramen please", "0.875", "ReplyTo", "m0", "SpeechProb", `Play(streams, "soup", 61000*Millisecond, 69000*Millisecond)`},
	} {
		for _, want := range wants {
			if !strings.Contains(forms[mime].(string), want) {
				t.Errorf("%s has no %q:\n%s", mime, want, forms[mime])
			}
		}
	}
	// What a pair has not is not shown.
	bare := PairCard(Pair{SpeechProb: -1}).MimeBundle()["text/plain"].(string)
	if regexp.MustCompile(`SpeechProb|Emotes|Bits|ReplyTo|Deleted|moderator`).MatchString(bare) {
		t.Errorf("%s", bare)
	}
	for _, attack := range attacks {
		card := PairCard(Pair{Stream: attack, MessageID: attack, AuthorHash: attack, Speech: attack, Response: attack, ReplyTo: attack})
		forms := card.MimeBundle()
		checkMarkup(t, "pair", forms["text/html"].(string))
		if n := len(forms["text/html"].(string)); n > 40_000 {
			t.Errorf("a card of %d bytes", n)
		}
		for _, r := range forms["text/plain"].(string) + card.String() {
			if r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
				t.Errorf("%q is in the text of %.40q", r, attack)
			}
		}
	}
}
