package dsl

import (
	"fmt"
	"math"
	"slices"
	"time"

	"banter/stdlib/align"
	"banter/stdlib/chart"
	"banter/stdlib/train"
)

// Chart is something to look at: charts, with tables and remarks where they help. As the last value of a cell it is
// shown; in the middle of one, Display shows it.
type Chart struct {
	view view
}

// MimeBundle is the chart as a notebook shows it.
func (c Chart) MimeBundle() map[string]any { return c.view.forms() }

// String says in words what the chart shows.
func (c Chart) String() string { return c.view.forms()["text/plain"].(string) }

// Histogram shows how a column of the pairs is distributed. A threshold, if given, is marked.
func Histogram(pairs Pairs, column Column, threshold ...float64) Chart {
	mark := math.Inf(-1)
	if len(threshold) > 0 {
		mark = threshold[0]
	}
	var out Chart
	out.view.draw(pairs.histogram(column, mark))
	return out
}

// histogram draws how a column is distributed, with a mark where it lies within.
func (p Pairs) histogram(column Column, mark float64) chart.Chart {
	all := p.read()
	values := make([]float64, len(all))
	for i := range all {
		values[i] = column.Of(all[i])
	}
	lo, hi, bins := column.span(values)
	c := chart.Histogram("Pairs by "+string(column), column.label(), values, lo, hi, bins, mark)
	c.Y.Label, c.Series[0].Name = "pairs", "pairs"
	if len(c.Marks) == 0 {
		c.Subtitle = groupedPlural(len(all), "pair")
	}
	return c
}

// label names the column with its unit.
func (c Column) label() string {
	switch c {
	case Delay, PairLag:
		return string(c) + ", s"
	case FDR:
		return "false discovery rate"
	}
	return string(c)
}

// span is what of a column's values a histogram shows, and in how many bins.
func (c Column) span(values []float64) (lo, hi float64, bins int) {
	switch c {
	case Confidence, FDR, SpeechProb:
		return 0, 1, 50
	}
	if len(values) == 0 {
		return 0, 1, 1
	}
	lo, hi = quantile(values, 0.005), quantile(values, 0.995)
	switch c {
	case ResponseWords, SpeechWords:
		lo, hi = math.Floor(lo), math.Floor(hi)+1
		width := math.Ceil((hi - lo) / 50)
		bins = int(math.Ceil((hi - lo) / width))
		return lo, lo + width*float64(bins), bins
	}
	if hi-lo < 1 {
		lo, hi = lo-0.5, hi+0.5
	}
	return lo, hi, 50
}

// quantile is the value that a share q of the values stay below.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// LagChart shows how far each stream's chat trails its recording, with 95 % intervals and change points, and the truth
// where it is known.
func LagChart(pairs Pairs) Chart {
	streams := pairs.Alignment().Streams
	var out Chart
	for _, st := range streams[:min(len(streams), shownStreams)] {
		out.view.draw(pairs.lagChart(st))
	}
	out.view.more(len(streams))
	return out
}

// lagChart draws the lag of one stream with its intervals, up to the end of its recording, and the truth where it is known.
func (p Pairs) lagChart(st align.StreamSummary) chart.Chart {
	var points, truth []chart.LagPoint
	var changes []time.Duration
	for i, piece := range st.Lag {
		points = append(points, chart.LagPoint{At: max(0, piece.From), Lag: piece.Lag, Low: piece.Lo, High: piece.Hi})
		if i > 0 {
			changes = append(changes, piece.From)
		}
	}
	if n := len(points); n > 0 {
		for _, l := range p.words.streams.list {
			if l.info.ID == st.Stream && l.info.Recording.Duration() > points[n-1].At {
				last := points[n-1]
				last.At = l.info.Recording.Duration()
				points = append(points, last)
			}
		}
	}
	for _, t := range p.trueLag(st.Stream) {
		truth = append(truth, chart.LagPoint{At: time.Duration(t.From * float64(time.Second)), Lag: time.Duration(t.Lag * float64(time.Second))})
	}
	c := chart.LagCurve("Lag of chat: "+st.Stream, points, changes, truth)
	c.Subtitle = fmt.Sprintf("people take a median of %.1f s to answer; %.0f of %d messages are expected to answer speech", st.Delay.Median().Seconds(), st.Diagnostics.Answers, st.Diagnostics.Messages)
	c.Height = 240
	return c
}

// more says that not all of n streams have their charts.
func (v *view) more(n int) {
	if text := rest(shownStreams, n); text != "" {
		v.say("%s", text)
	}
}

// rest says that only some of all streams are shown; nothing where all are.
func rest(shown, streams int) string {
	if streams <= shown {
		return ""
	}
	return fmt.Sprintf("The first %d of %d streams are shown.", shown, streams)
}

// trueLag is the lag curve of a labelled stream, empty for others.
func (p Pairs) trueLag(stream string) []align.TruthLag {
	s := current()
	for _, l := range p.words.streams.list {
		if l.info.ID != stream {
			continue
		}
		o, err := l.step.Output("truth.json")
		if err != nil {
			return nil // not labelled
		}
		f, err := s.store.OpenObject(o)
		if err != nil {
			fail("chart", stream, err)
		}
		defer f.Close()
		truth, err := align.ReadTruth(f)
		if err != nil {
			fail("chart", stream, err)
		}
		return truth.Lag
	}
	return nil
}

// likely is the false discovery rate up to which pairs count as answers where a chart needs answers.
const likely = 0.1

// DelayChart shows how long people take to answer: the delays of the pairs with a false discovery rate of at most 0.1, and
// the law that Align fitted.
func DelayChart(pairs Pairs) Chart {
	var out Chart
	out.view.draw(pairs.delayChart())
	return out
}

func (p Pairs) delayChart() chart.Chart {
	var seconds []float64
	byStream := map[string]int{}
	for _, q := range p.read() {
		if q.FDR <= likely {
			seconds = append(seconds, q.Delay.Seconds())
			byStream[q.Stream]++
		}
	}
	alignment := p.Alignment()
	lo, hi := math.Floor(alignment.Options.DelayMin.Seconds()), math.Ceil(alignment.Options.DelayMax.Seconds())
	if !(hi > lo) {
		lo, hi, _ = Delay.span(seconds)
	}
	bins := int(min(100, 2*(hi-lo)))
	c := chart.Histogram("Time people take to answer", "delay after the end of the sentence, the lag taken off, s", seconds, lo, hi, bins, math.Inf(-1))
	c.Y.Label = "pairs"
	width := (hi - lo) / float64(bins)
	law := chart.Series{Name: "fitted law", Kind: chart.Line, Tone: chart.Orange}
	for x := math.Max(lo, 0.02); x <= hi; x += (hi - lo) / 400 {
		y := 0.0
		for _, st := range alignment.Streams {
			y += float64(byStream[st.Stream]) * width * st.Delay.Density(time.Duration(x*float64(time.Second)))
		}
		law.X, law.Y = append(law.X, x), append(law.Y, y)
	}
	c.Series[0].Name, c.Series[0].Tone = "pairs at FDR 0.1", chart.Blue
	c.Series = append(c.Series, law)
	if len(seconds) > 0 {
		c.Subtitle = fmt.Sprintf("%s at a false discovery rate of at most 0.1; half of them within %.1f s", plural(len(seconds), "pair"), quantile(seconds, 0.5))
	}
	return c
}

// FDRChart shows what share of the pairs is expected to be wrong, by how many are kept, for each stream.
func FDRChart(pairs Pairs) Chart {
	streams := pairs.Alignment().Streams
	var out Chart
	out.view.draw(fdrChart(streams[:min(len(streams), shownStreams)]))
	out.view.more(len(streams))
	return out
}

// MessagesPerMinute shows how busy the chat of each stream was.
func MessagesPerMinute(streams Streams) Chart {
	var out Chart
	for _, l := range streams.list[:min(len(streams.list), shownStreams)] {
		out.view.draw(perMinute(l))
	}
	out.view.more(len(streams.list))
	return out
}

func perMinute(l loaded) chart.Chart {
	messages, err := current().messages(l)
	if err != nil {
		fail("chart", l.info.ID, err)
	}
	moments := make([]time.Duration, len(messages))
	for i := range messages {
		moments[i] = messages[i].Time
	}
	c := chart.PerMinute("Messages a minute: "+l.info.ID, moments, l.info.Recording.Duration())
	c.Height = 180
	return c
}

// LossChart shows the loss of the response tokens over a training, and on the holdout where it was looked at.
func LossChart(t Tuned) Chart {
	run := t.Run()
	c := lossCurve(run)
	if n := len(run.Looks); n > 1 {
		c.Subtitle = fmt.Sprintf("held out: %.3f before, %.3f after", run.Looks[0].Loss, run.Looks[n-1].Loss)
	}
	var out Chart
	out.view.draw(c)
	return out
}

// lossCurve draws the loss of each step and of each look at the holdout.
func lossCurve(run train.Record) chart.Chart {
	loss := make([]float64, len(run.History))
	for i, h := range run.History {
		loss[i] = h.Loss
	}
	held := chart.Curve{Name: "held out"}
	for _, l := range run.Looks {
		held.X, held.Y = append(held.X, float64(l.Step)), append(held.Y, l.Loss)
	}
	return chart.LossCurve("Loss of response tokens", loss, held)
}

// Waterfall shows what each rule of the Filter that made the pairs took, with examples.
func Waterfall(pairs Pairs) Chart {
	f, ok := pairs.Filtered()
	var out Chart
	if !ok {
		out.view.say("These pairs come straight from Align: no rule took any.")
		return out
	}
	out.view.waterfall(f)
	return out
}

func (v *view) waterfall(f Filtered) {
	falls, examples := f.falls(3)
	v.draw(falls)
	if len(examples.rows) > 0 {
		examples.rows = examples.rows[:min(len(examples.rows), shownRows)]
		v.list(examples)
	}
}

// falls is what each rule took, as a chart, and up to n examples of each.
func (f Filtered) falls(n int) (chart.Chart, grid) {
	var drops []chart.Drop
	examples := grid{caption: "Examples of what was taken", columns: []chart.Column{{Name: "rule"}, {Name: "message", Wide: true}, {Name: "why", Wide: true}, {Name: "stream"}}}
	for _, st := range f.Steps {
		drops = append(drops, chart.Drop{Name: st.Rule, Dropped: st.Dropped})
		for _, e := range st.Examples[:min(len(st.Examples), n)] {
			examples.rows = append(examples.rows, []chart.Cell{chart.TextCell(st.Rule), chart.TextCell(e.Response), chart.TextCell(e.Reason), chart.TextCell(e.Stream)})
		}
	}
	c := chart.Waterfall("Pairs left after each rule", f.In, drops)
	c.Y.Label = "pairs"
	return c, examples
}
