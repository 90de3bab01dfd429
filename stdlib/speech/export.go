package speech

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"
)

// How subtitles are cut, as is customary for two lines of 42 characters.
const (
	cueChars = 84
	cueSpan  = 7 * time.Second
)

// cue is one subtitle.
type cue struct {
	start, end time.Duration
	words      []Word
}

// cues cuts t into subtitles: one or more for each segment.
func (t *Transcript) cues() []cue {
	var out []cue
	for _, s := range t.Segments {
		chars := 0
		for _, w := range t.Words[s.First:s.Last] {
			last := len(out) - 1
			if chars == 0 || chars+1+len(w.Text) > cueChars || w.End-out[last].start > cueSpan {
				out = append(out, cue{start: w.Start, end: w.End})
				last++
				chars = -1
			}
			out[last].words = append(out[last].words, w)
			out[last].end = max(out[last].end, w.End)
			chars += 1 + len(w.Text)
		}
	}
	for i := range out { // players show nothing for a cue without length, and mend overlaps each in its own way
		if i+1 < len(out) {
			out[i].end = min(out[i].end, out[i+1].start)
		}
		out[i].end = max(out[i].end, out[i].start+time.Millisecond)
	}
	return out
}

// stamp writes a time as hh:mm:ss and milliseconds after the mark.
func stamp(d time.Duration, mark string) string {
	ms := max(d, 0).Milliseconds()
	return fmt.Sprintf("%02d:%02d:%02d%s%03d", ms/3_600_000, ms/60_000%60, ms/1000%60, mark, ms%1000)
}

// oneLine keeps a word from ending the cue that it is in.
func oneLine(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "-->", "->")
}

// WriteSRT writes t as SubRip subtitles.
func WriteSRT(w io.Writer, t *Transcript) error {
	b := bufio.NewWriter(w)
	for i, c := range t.cues() {
		words := make([]string, len(c.words))
		for j, word := range c.words {
			words[j] = oneLine(word.Text)
		}
		fmt.Fprintf(b, "%d\n%s --> %s\n%s\n\n", i+1, stamp(c.start, ","), stamp(c.end, ","), strings.Join(words, " "))
	}
	return b.Flush()
}

var vttEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// WriteVTT writes t as WebVTT, with a time tag before each word after a cue's first where words have times of their own.
func WriteVTT(w io.Writer, t *Transcript) error {
	b := bufio.NewWriter(w)
	fmt.Fprint(b, "WEBVTT\n")
	for _, c := range t.cues() {
		fmt.Fprintf(b, "\n%s --> %s\n", stamp(c.start, "."), stamp(c.end, "."))
		last := c.start
		for j, word := range c.words {
			if j > 0 {
				b.WriteByte(' ')
			}
			// A time tag must lie within its cue and after the one before.
			if at := word.Start.Truncate(time.Millisecond); j > 0 && word.Timed && at > last && at < c.end {
				fmt.Fprintf(b, "<%s>", stamp(at, "."))
				last = at
			}
			b.WriteString(vttEscape.Replace(oneLine(word.Text)))
		}
		b.WriteByte('\n')
	}
	return b.Flush()
}
