package dsl

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"banter/dsl/memo"
	"banter/stdlib/align"
	"banter/stdlib/chart"
	"banter/stdlib/speech"
)

// Each value of this package says itself how a notebook shows it: MimeBundle gives its forms by MIME type. What is shown
// is bounded, whatever the value's size, and all text from recordings and chats is escaped.

// read returns the pairs in memory, which the caller must not change.
func (p Pairs) read() []Pair {
	list, err := current().pairs(p.step)
	if err != nil {
		fail("pairs", p.step.Key.Short(), err)
	}
	return list
}

// first returns the first n pairs without reading the rest.
func (p Pairs) first(n int) []Pair {
	list, err := current().firstPairs(p.step, n)
	if err != nil {
		fail("pairs", p.step.Key.Short(), err)
	}
	return list
}

func (s *Session) firstPairs(step memo.Manifest, n int) ([]Pair, error) {
	o, err := step.Output(pairsFile)
	if err != nil {
		return nil, err
	}
	f, err := s.store.OpenObject(o)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return align.ReadFirst(f, o.Size, n)
}

// MimeBundle shows what was loaded: a table of the streams, and when each recording and chat ran.
func (s Streams) MimeBundle() map[string]any {
	var v view
	v.say("%s", s.summary())
	table := grid{columns: []chart.Column{{Name: "stream"}, {Name: "length", Right: true}, {Name: "sound"}, {Name: "messages", Right: true},
		{Name: "chat log", Wide: true}, {Name: "clock", Wide: true}}, total: len(s.list)}
	var spans []chart.Span
	for i, l := range s.list[:min(len(s.list), shownRows)] {
		r, c := l.info.Recording, l.info.Chat
		row := []chart.Cell{chart.TextCell(l.info.ID), chart.TimeCell(r.Duration()), {Text: r.Codec, Detail: fmt.Sprintf("%d Hz, %s", r.SampleRate, plural(r.Channels, "channel"))},
			{Text: "none"}, {}, {}}
		if c != nil {
			row[3], row[4], row[5] = chart.NumberCell(float64(c.Messages)), chart.Cell{Text: c.Format, Detail: c.Summary}, chart.TextCell(c.Clock)
		}
		table.rows = append(table.rows, row)
		if i < 2*shownStreams {
			spans = append(spans, chart.Span{Track: l.info.ID + " recording", End: r.Duration(), Label: "recording of " + l.info.ID})
			if c != nil && c.Messages > 0 {
				spans = append(spans, chart.Span{Track: l.info.ID + " chat", Start: milliseconds(c.FirstMS), End: milliseconds(c.LastMS),
					Label: plural(c.Messages, "message")})
			}
		}
	}
	v.list(table)
	for _, bad := range s.skipped[:min(len(s.skipped), shownRows)] {
		v.warn(bad.ID + " was skipped: " + bad.Why)
	}
	for _, l := range s.list[:min(len(s.list), shownRows)] {
		for _, w := range l.info.Warnings[:min(len(l.info.Warnings), 5)] {
			v.warn(l.info.ID + ": " + w)
		}
		if c := l.info.Chat; c != nil && len(c.Malformed) > 0 {
			v.warn(fmt.Sprintf("%s: %s left out, such as %s", l.info.ID, plural(len(c.Malformed), "malformed record"), c.Malformed[0]))
		}
	}
	c := chart.Timeline("Recordings and chats", spans)
	c.Subtitle = "a chat lasts from its first message to its last"
	v.draw(c)
	for _, l := range s.list[:min(len(s.list), shownStreams)] {
		if c, ok := l.info.Chat.clockChart(l.info.ID); ok {
			v.draw(c)
		}
	}
	return v.forms()
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// MimeBundle shows what was said: a table of the streams, and when somebody spoke.
func (t Transcripts) MimeBundle() map[string]any {
	var v view
	table := grid{columns: []chart.Column{{Name: "stream"}, {Name: "words", Right: true}, {Name: "segments", Right: true}, {Name: "words withheld", Wide: true}, {Name: "begins", Wide: true}},
		total: len(t.list)}
	var spans []chart.Span
	words := 0
	for i, l := range t.streams.list {
		var f transcriptFacts
		if err := t.list[i].DecodeFacts(&f); err != nil {
			fail("transcribe", l.info.ID, err)
		}
		words += f.Words
		if i >= shownRows {
			continue
		}
		row := []chart.Cell{chart.TextCell(l.info.ID), chart.NumberCell(float64(f.Words)), chart.NumberCell(float64(f.Segments)), {Text: cmp.Or(f.gates(), "none")}, {}}
		if i < shownStreams {
			transcript := t.Transcript(l.info.ID)
			row[4] = chart.TextCell(beginning(transcript.Words, 20))
			spans = append(spans, turns(l.info.ID, transcript)...)
		}
		table.rows = append(table.rows, row)
	}
	v.say("%s in %s", plural(words, "word"), plural(len(t.list), "stream"))
	v.list(table)
	c := chart.Timeline("Who speaks when", spans)
	c.Subtitle = "a new turn begins where the speaker changes or pauses long"
	v.draw(c)
	v.more(len(t.list))
	return v.forms()
}

// gates says how many words were withheld, by gate.
func (f transcriptFacts) gates() string {
	var parts []string
	for gate, n := range f.Withheld {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d (%s)", n, gate))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// beginning is the first n words as text.
func beginning(words []speech.Word, n int) string {
	var b strings.Builder
	for i, w := range words[:min(len(words), n)] {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(w.Text)
	}
	if len(words) > n {
		b.WriteString(" …")
	}
	return b.String()
}

// maxTurns bounds the spans of one stream on a timeline. Neighbours are joined where there would be more.
const maxTurns = 400

// turns are the spans in which one speaker speaks, and those whose words were withheld on a track of their own.
func turns(id string, t *speech.Transcript) []chart.Span {
	var said, withheld []chart.Span
	last := -1
	for _, seg := range t.Segments {
		if seg.Gate != "" {
			withheld = append(withheld, chart.Span{Track: id + " withheld", Start: seg.Start, End: seg.End, Label: fmt.Sprintf("%s withheld: %s", plural(seg.Withheld, "word"), seg.Gate)})
			continue
		}
		if n := len(said); n > 0 && seg.Turn == last {
			said[n-1].End = max(said[n-1].End, seg.End)
			continue
		}
		last = seg.Turn
		said = append(said, chart.Span{Track: id, Start: seg.Start, End: seg.End, Label: beginning(t.Words[seg.First:seg.Last], 12)})
	}
	return append(joined(said), joined(withheld)...)
}

// joined makes at most maxTurns of spans, each as long as those it stands for.
func joined(spans []chart.Span) []chart.Span {
	if len(spans) <= maxTurns {
		return spans
	}
	each := (len(spans) + maxTurns - 1) / maxTurns
	var out []chart.Span
	for group := range slices.Chunk(spans, each) {
		whole := group[0]
		whole.End, whole.Label = group[len(group)-1].End, plural(len(group), "turn")
		out = append(out, whole)
	}
	return out
}

// MimeBundle shows the pairs: how many, what the rules took, and the first rows.
func (p Pairs) MimeBundle() map[string]any {
	var v view
	n := p.Len()
	if f, ok := p.Filtered(); ok {
		v.say("%s of %d, which passed %s", plural(n, "pair"), f.In, plural(len(f.Steps), "rule"))
		taken := grid{caption: "What each rule took; Waterfall draws it", columns: []chart.Column{{Name: "rule"}, {Name: "of", Right: true}, {Name: "taken", Right: true}, {Name: "left", Right: true}, {Name: "such as", Wide: true}}, total: len(f.Steps)}
		for _, st := range f.Steps[:min(len(f.Steps), shownRows)] {
			row := []chart.Cell{chart.TextCell(st.Rule), chart.NumberCell(float64(st.In)), chart.NumberCell(float64(st.Dropped)), chart.NumberCell(float64(st.Out)), {}}
			if st.Masked > 0 {
				row[0].Detail = plural(st.Masked, "part") + " masked"
			}
			if len(st.Examples) > 0 {
				row[4] = chart.Cell{Text: st.Examples[0].Response, Detail: st.Examples[0].Reason}
			}
			taken.rows = append(taken.rows, row)
		}
		v.list(taken)
	} else {
		streams := p.Alignment().Streams
		v.say("%s of %s: each message with the speech that it most likely answers. Most chat answers nobody: Filter by Confidence or FDR.", plural(n, "pair"), plural(len(streams), "stream"))
		v.list(alignmentTable(streams))
		for _, st := range streams[:min(len(streams), shownRows)] {
			for _, note := range st.Diagnostics.Notes {
				v.warn(st.Stream + ": " + note)
			}
		}
	}
	v.list(pairTable(p.first(shownRows), n))
	return v.forms()
}

// MimeBundle draws what each rule took, with examples.
func (f Filtered) MimeBundle() map[string]any {
	var v view
	v.waterfall(f)
	return v.forms()
}

// alignmentTable says for each stream what Align found.
func alignmentTable(streams []align.StreamSummary) grid {
	g := grid{columns: []chart.Column{{Name: "stream"}, {Name: "pairs", Right: true}, {Name: "at FDR 0.05", Right: true}, {Name: "at FDR 0.1", Right: true}, {Name: "at FDR 0.2", Right: true},
		{Name: "lag", Right: true}, {Name: "median delay", Right: true}}, total: len(streams)}
	for _, st := range streams[:min(len(streams), shownRows)] {
		row := []chart.Cell{chart.TextCell(st.Stream), chart.NumberCell(float64(st.Pairs))}
		for _, rate := range []float64{0.05, 0.1, 0.2} {
			most := 0
			for _, point := range st.FDR {
				if point.FDR <= rate {
					most = max(most, point.Pairs)
				}
			}
			row = append(row, chart.NumberCell(float64(most)))
		}
		low, high := time.Duration(0), time.Duration(0)
		for i, piece := range st.Lag {
			if i == 0 {
				low, high = piece.Lag, piece.Lag
			}
			low, high = min(low, piece.Lag), max(high, piece.Lag)
		}
		lag := chart.Cell{Text: seconds(low.Seconds()), Number: low.Seconds(), Sort: true}
		if len(st.Lag) > 1 {
			lag.Text, lag.Detail = fmt.Sprintf("%s to %s", strings.TrimSuffix(seconds(low.Seconds()), " s"), seconds(high.Seconds())), plural(len(st.Lag), "piece")
		}
		median := st.Delay.Median().Seconds()
		g.rows = append(g.rows, append(row, lag, chart.Cell{Text: seconds(median), Number: median, Sort: true}))
	}
	return g
}

// pairTable lists pairs, of which there are total.
func pairTable(pairs []Pair, total int) grid {
	g := grid{columns: []chart.Column{{Name: "stream"}, {Name: "said at", Right: true}, {Name: "speech", Wide: true}, {Name: "chat", Wide: true}, {Name: "after", Right: true},
		{Name: "confidence", Right: true}, {Name: "FDR", Right: true}}, total: total}
	for _, p := range pairs {
		g.rows = append(g.rows, []chart.Cell{chart.TextCell(p.Stream), chart.TimeCell(p.SpeechStart), chart.TextCell(p.Speech), chart.TextCell(p.Response),
			{Text: seconds(p.Delay.Seconds()), Number: p.Delay.Seconds(), Sort: true},
			{Text: fmt.Sprintf("%.3f", p.Confidence), Number: p.Confidence, Sort: true}, {Text: fmt.Sprintf("%.3f", p.FDR), Number: p.FDR, Sort: true}})
	}
	return g
}

// MimeBundle shows the rows: how they are split, and the first of them.
func (r Rows) MimeBundle() map[string]any {
	var v view
	f := r.facts()
	rows := r.All()
	side := ""
	if r.split != "" {
		side = " of the " + r.split + " side"
	}
	v.say("%s%s", plural(len(rows), "row"), side)
	v.say("Made of %s: %d to train on, %d held out, %d left out as too near to the edge of a held-out stretch, %d left out as nearly the same as held-out ones.",
		plural(f.Made.Pairs, "pair"), f.Made.Train-f.Leaks.Dropped, f.Made.Holdout, f.Made.Guard, f.Leaks.Dropped)
	g := grid{columns: []chart.Column{{Name: "stream"}, {Name: "said at", Right: true}, {Name: "prompt", Wide: true}, {Name: "response", Wide: true}, {Name: "split"}, {Name: "id"}}, total: len(rows)}
	for i := range rows[:min(len(rows), shownRows)] {
		row := &rows[i]
		g.rows = append(g.rows, []chart.Cell{chart.TextCell(row.Stream), chart.TimeCell(milliseconds(row.SpeechStartMS)), chart.TextCell(row.Prompt()), chart.TextCell(row.Completion()),
			chart.TextCell(row.Split), chart.TextCell(row.ID[:min(len(row.ID), 12)])})
	}
	v.list(g)
	return v.forms()
}

// MimeBundle shows the record of the training and its loss.
func (t Tuned) MimeBundle() map[string]any {
	run := t.Run()
	o := run.Options
	var v view
	fact := func(name, format string, args ...any) []chart.Cell {
		return []chart.Cell{chart.TextCell(name), chart.TextCell(fmt.Sprintf(format, args...))}
	}
	steps := chart.Grouped(len(run.History))
	if run.Stopped == "early" {
		steps += fmt.Sprintf(" of %d: the held-out loss no longer fell", run.Steps)
	}
	g := grid{columns: []chart.Column{{Name: "training"}, {Name: "", Wide: true}}, rows: [][]chart.Cell{
		fact("base", "%s", t.base),
		fact("adapter", "LoRA of rank %d, alpha %g, on %s", o.Rank, o.Alpha, strings.Join(o.Targets, ", ")),
		fact("data", "%s with %d tokens, %d of them learned", plural(run.Rows, "row"), run.Tokens, run.Learned),
		fact("steps", "%s", steps),
		fact("learning rate", "%g", o.LR),
		fact("seed", "%d", o.Seed),
		fact("key", "%s", t.step.Key),
	}}
	if n := len(run.Looks); n > 1 {
		g.rows = append(g.rows, fact("held-out loss", "%.4f before, %.4f after", run.Looks[0].Loss, run.Looks[n-1].Loss))
	}
	v.list(g)
	v.parts = append(v.parts, LossChart(t).view.parts...)
	return v.forms()
}

// MimeBundle shows the base and the adapter side by side, with what a Gate can ask for.
func (e Evaluation) MimeBundle() map[string]any {
	res := e.Result()
	table := chart.BeforeAfter(fmt.Sprintf("Base alone and with the adapter, on %d held-out responses to %d prompts. Intervals are 95 %%, by a paired bootstrap of %d resamples.",
		res.Examples, res.Prompts, res.Resamples), e.comparisons())
	var v view
	g := grid{caption: table.Caption, columns: table.Columns}
	for row := range table.Rows {
		g.rows = append(g.rows, row)
	}
	v.list(g)
	for _, note := range e.notes() {
		v.say("%s", note)
	}
	v.list(e.style())
	if rubrics := e.rubrics(); len(rubrics.rows) > 0 {
		rubrics.total = len(rubrics.rows)
		rubrics.rows = rubrics.rows[:min(len(rubrics.rows), shownRows)]
		v.list(rubrics)
	}
	return v.forms()
}

// MimeBundle shows the answers side by side.
func (s Samples) MimeBundle() map[string]any {
	all := s.All()
	g := grid{columns: []chart.Column{{Name: "prompt", Wide: true}, {Name: "base", Wide: true}, {Name: "tuned", Wide: true}}, total: len(all)}
	known := slices.ContainsFunc(all, func(a Answered) bool { return a.Real != "" })
	if known {
		g.columns = append(g.columns, chart.Column{Name: "chat really said", Wide: true})
	}
	for _, a := range all[:min(len(all), shownRows)] {
		g.rows = append(g.rows, []chart.Cell{chart.TextCell(a.Prompt), chart.TextCell(a.Base), chart.TextCell(a.Tuned), chart.TextCell(a.Real)})
	}
	var v view
	v.list(g)
	return v.forms()
}

// MimeBundle shows the score of each stream and of all.
func (sc Scored) MimeBundle() map[string]any {
	var v view
	percent := func(x float64) chart.Cell { return chart.Cell{Text: share(x), Number: x, Sort: true} }
	score := func(name string, w *WordScore, p *PairScore) []chart.Cell {
		row := make([]chart.Cell, 9)
		row[0] = chart.TextCell(name)
		if w != nil {
			row[1] = percent(w.WER)
			if w.Timed > 0 { // else the cell stays empty: words of a cue have no times of their own
				row[2] = chart.Cell{Text: fmt.Sprintf("%d ms", w.StartErrorMedianMS), Number: float64(w.StartErrorMedianMS), Sort: true}
			}
		}
		if p != nil {
			row[3], row[4], row[5], row[6] = percent(p.Precision), percent(p.Recall), percent(p.F1), chart.NumberCell(p.AUC)
			row[7], row[8] = chart.NumberCell(p.ECE), percent(p.LagWithin1S)
		}
		return row
	}
	g := grid{columns: []chart.Column{{Name: "stream"}, {Name: "word error rate", Right: true}, {Name: "start error", Right: true}, {Name: "precision", Right: true}, {Name: "recall", Right: true},
		{Name: "F1", Right: true}, {Name: "AUC", Right: true}, {Name: "ECE", Right: true}, {Name: "lag within 1 s", Right: true}}, total: len(sc.Streams)}
	for _, st := range sc.Streams[:min(len(sc.Streams), shownRows)] {
		g.rows = append(g.rows, score(st.Stream, st.Words, st.Pairs))
	}
	if len(sc.Streams) > 1 {
		g.rows, g.total = append(g.rows, score("all", sc.Words, sc.Pairs)), g.total+1
	}
	g.caption = "Against the ground truth"
	if sc.Pairs != nil {
		g.caption += fmt.Sprintf("; precision, recall and F1 at a false discovery rate of %g", sc.Pairs.FDR)
	}
	v.list(g)
	return v.forms()
}
