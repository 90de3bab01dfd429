package dsl

import (
	"fmt"
	"html"
	"math"
	"strings"

	"banter/stdlib/chart"
	"banter/stdlib/chat"
)

// PairCard is one pair as a notebook shows it: what was said, what was written, and what the model and the filters know
// about the two. A cell that ends in a Pair shows it so.
type PairCard Pair

// String is the pair in a line.
func (p PairCard) String() string {
	return fmt.Sprintf("%s at %s: %q -> %q (confidence %.3f, false discovery rate %.3f)", inert(p.Stream, 60), clock(p.SpeechStart),
		inert(p.Speech, shownText), inert(p.Response, shownText), p.Confidence, p.FDR)
}

// MimeBundle shows the speech and the message one below the other, then their columns, then how to listen to them.
func (p PairCard) MimeBundle() map[string]any {
	said := fmt.Sprintf("%s, %s to %s", inert(p.Stream, 60), clock(p.SpeechStart), clock(p.SpeechEnd))
	wrote := seconds(p.Delay.Seconds()) + " after that"
	if p.AuthorHash != "" {
		wrote += ", by " + strings.Join(append([]string{inert(p.AuthorHash, 12)}, roles(p.AuthorRoles)...), ", ")
	}
	play := fmt.Sprintf("Play(streams, %q, %d*Millisecond, %d*Millisecond)", inert(p.Stream, 200), p.SpeechStart.Milliseconds(), (p.MessageTime - p.Lag + Second).Milliseconds())
	columns := p.columns()

	var page strings.Builder
	quote := func(caption, text, color string) {
		fmt.Fprintf(&page, `<div style="margin:8px 0;padding:2px 0 2px 10px;border-left:3px solid %s"><div style="font-size:85%%;opacity:.75"><bdi>%s</bdi></div><div style="font-size:110%%;overflow-wrap:anywhere"><bdi>%s</bdi></div></div>`,
			color, html.EscapeString(caption), html.EscapeString(inert(text, shownText)))
	}
	page.WriteString(`<div style="max-width:720px">`)
	quote(said, p.Speech, "var(--jp-border-color1,#9aa5b1)")
	quote(wrote, p.Response, "var(--jp-brand-color1,#3b78c4)")
	page.WriteString(columns.html())
	fmt.Fprintf(&page, `<p style="margin:6px 0;font-size:90%%">to listen: <code>%s</code></p></div>`, html.EscapeString(play))

	plain := fmt.Sprintf("%s\n    %s\n%s\n    %s\n%sto listen: %s", said, inert(p.Speech, shownText), wrote, inert(p.Response, shownText), columns.plain(), play)
	return map[string]any{"text/html": page.String(), "text/plain": plain}
}

// columns are what Filter can ask for, where a pair has something to say there.
func (p PairCard) columns() grid {
	g := grid{columns: []chart.Column{{Name: "column"}, {Name: "value", Right: true}, {Name: "which is", Wide: true}}}
	add := func(name, value, meaning string) {
		g.rows = append(g.rows, []chart.Cell{chart.TextCell(name), chart.TextCell(value), chart.TextCell(meaning)})
	}
	add("Confidence", fmt.Sprintf("%.3f", p.Confidence), "the probability that the message answers this speech")
	add("FDR", fmt.Sprintf("%.3f", p.FDR), "the expected share of wrong pairs among those at least as confident")
	add("Delay", seconds(p.Delay.Seconds()), "from the end of what was answered to the message, less the lag")
	add("Lag", seconds(p.Lag.Seconds()), "how far the chat's clock was behind")
	add("MessageTime", clock(p.MessageTime), "on the chat's clock; message "+inert(p.MessageID, 40))
	add("FirstWord, LastWord", fmt.Sprintf("%d, %d", p.FirstWord, p.LastWord), "the words of the transcript, the last not included")
	if p.SpeechProb >= 0 {
		add("SpeechProb", fmt.Sprintf("%.3f", p.SpeechProb), "the mean probability of the words")
	}
	if p.Emotes > 0 {
		what := "emotes in the message"
		if p.EmoteOnly {
			what += ", and nothing else"
		}
		add("Emotes", fmt.Sprint(p.Emotes), what)
	}
	if p.Bits > 0 {
		add("Bits", fmt.Sprint(p.Bits), "cheered with the message")
	}
	if p.ReplyTo != "" {
		add("ReplyTo", inert(p.ReplyTo, 40), "the message that it answers")
	}
	if p.Deleted {
		add("Deleted", "true", "removed by a moderator or its author later on")
	}
	return g
}

// seconds writes a duration to a tenth; what is nearest to none is 0.0, whatever its sign.
func seconds(s float64) string { return fmt.Sprintf("%.1f s", math.Round(s*10)/10+0) }

// roles are the names of what an author is on the channel.
func roles(r chat.Roles) (names []string) {
	for _, row := range []struct {
		role chat.Roles
		name string
	}{{chat.Broadcaster, "the broadcaster"}, {chat.Moderator, "a moderator"}, {chat.Subscriber, "a subscriber"}, {chat.VIP, "a VIP"},
		{chat.Verified, "verified"}, {chat.Bot, "a bot"}} {
		if r&row.role != 0 {
			names = append(names, row.name)
		}
	}
	return names
}
