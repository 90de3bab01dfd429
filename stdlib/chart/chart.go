// Package chart draws what Banter measures, from plain numbers.
//
// A [Chart] is data and labels. It becomes a static picture by [SVG] or [PNG], with nothing but Go; the options of a live
// ECharts chart by [Options]; and by [HTML] a fragment for a notebook that shows the picture everywhere and turns live where
// scripts run and [Bundle] was sent. A [Report] gathers charts, tables and text on one page that needs nothing else.
//
// All text is taken to be hostile: it is escaped, cut to a bounded length and stripped of characters that reorder others.
// The same chart gives the same bytes.
package chart

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Chart is one picture: series over a common pair of axes.
type Chart struct {
	Title    string
	Subtitle string
	X, Y     Axis
	Series   []Series
	Marks    []Mark
	Width    int // in pixels; 0 means 760
	Height   int // in pixels; 0 means 340
}

// Axis describes one direction of a chart.
type Axis struct {
	Label      string
	Unit       Unit
	Min, Max   float64  // both 0: as the data wants
	Categories []string // names for positions 0, 1, 2, ...; empty for a numeric axis
	Log        bool     // logarithmic, for values above 0
}

// Unit says how an axis's numbers are written.
type Unit uint8

// The units of axes.
const (
	Number  Unit = iota
	Percent      // 0.25 is written as 25 %
	Clock        // seconds, written as h:mm:ss
)

// Kind is how a series is drawn.
type Kind uint8

// The kinds of series.
const (
	Line   Kind = iota // through X, Y; a band from Low to High around it where these are given
	Steps              // like Line, but constant up to the next X
	Bars               // from 0, or from Low where given, to Y, X to X + Span wide
	Points             // at X, Y
	Spans              // from X to X + Span at the height of category Y
)

// Series is one set of values. X and Y have the same length; the other slices are empty or have it too.
type Series struct {
	Name      string
	Kind      Kind
	Tone      Tone
	X, Y      []float64
	Span      []float64 // width of bars and spans
	Low, High []float64 // interval around Y, or the lower end of a bar
	Labels    []string  // shown when pointing at a value
	Tones     []Tone    // of single values, instead of Tone
	Dash      Dash
}

// Dash is how a line is broken, so that color is not all that tells one from another.
type Dash uint8

// The dashes, in the order in which [Curves] takes them.
const (
	Solid Dash = iota
	Dashed
	Dotted
	LongDashed
	DashDotted
	DashDotDotted
	dashes // how many there are
)

// Mark is a line across the chart that something is held against: a threshold, a moment.
type Mark struct {
	At         float64
	Label      string
	Horizontal bool // at a value of Y instead of X
	Tone       Tone
}

// Tone is a color by what it means.
type Tone uint8

// The tones. Auto takes the palette's colors in order.
const (
	Auto Tone = iota
	Blue
	Orange
	Green
	Red
	Violet
	Teal
	Gray
)

// Histogram counts values in equal bins over lo..hi; values outside fall into the first or last bin. Where threshold lies
// within lo..hi it is marked, and the bins below it are gray.
func Histogram(title, xLabel string, values []float64, lo, hi float64, bins int, threshold float64) Chart {
	bins = min(max(bins, 1), 500)
	if !(hi > lo) {
		hi = lo + 1
	}
	s := Series{Name: "count", Kind: Bars, X: make([]float64, bins), Y: make([]float64, bins), Span: make([]float64, bins)}
	width := (hi - lo) / float64(bins)
	for i := range bins {
		s.X[i], s.Span[i] = lo+width*float64(i), width
	}
	kept, counted := 0, 0
	for _, v := range values {
		if math.IsNaN(v) {
			continue
		}
		counted++
		if v >= threshold {
			kept++
		}
		s.Y[min(max(int((v-lo)/width), 0), bins-1)]++
	}
	c := Chart{Title: title, X: Axis{Label: xLabel, Min: lo, Max: hi}, Y: Axis{Label: "count"}}
	if threshold > lo && threshold < hi {
		c.Marks = []Mark{{At: threshold, Label: "threshold " + number(threshold), Tone: Red}}
		c.Subtitle = fmt.Sprintf("%s of %s at or above %s", Grouped(kept), Grouped(counted), number(threshold))
		s.Tones = make([]Tone, bins)
		for i := range bins {
			s.Tones[i] = Blue
			if s.X[i]+width/2 < threshold {
				s.Tones[i] = Gray
			}
		}
	} else {
		c.Subtitle = Grouped(counted) + " values"
	}
	c.Series = []Series{s}
	return c
}

// LagPoint is the lag of chat behind speech at one moment, with its interval.
type LagPoint struct {
	At             time.Duration // stream time
	Lag, Low, High time.Duration
}

// LagCurve shows how far chat trails the recording over the stream, and where it changes. Where truth is known it is drawn
// beside it.
func LagCurve(title string, points []LagPoint, changes []time.Duration, truth []LagPoint) Chart {
	estimate := Series{Name: "estimated lag", Kind: Steps, Tone: Blue}
	for _, p := range points {
		estimate.X = append(estimate.X, p.At.Seconds())
		estimate.Y = append(estimate.Y, p.Lag.Seconds())
		estimate.Low = append(estimate.Low, p.Low.Seconds())
		estimate.High = append(estimate.High, p.High.Seconds())
	}
	c := Chart{Title: title, X: Axis{Label: "stream time", Unit: Clock}, Y: Axis{Label: "lag, s"}, Series: []Series{estimate}}
	if len(truth) > 0 {
		known := Series{Name: "true lag", Kind: Steps, Tone: Orange, Dash: Dashed}
		for _, p := range truth {
			known.X = append(known.X, p.At.Seconds())
			known.Y = append(known.Y, p.Lag.Seconds())
		}
		if last := estimate.X; len(last) > 0 && known.X[len(known.X)-1] < last[len(last)-1] {
			known.X = append(known.X, last[len(last)-1])
			known.Y = append(known.Y, known.Y[len(known.Y)-1])
		}
		c.Series = append(c.Series, known)
	}
	for _, at := range changes {
		c.Marks = append(c.Marks, Mark{At: at.Seconds(), Label: "change", Tone: Gray})
	}
	return c
}

// ClockSpan is a stretch over which a chat log's wall clock and the video run side by side.
type ClockSpan struct {
	From, To time.Duration // moments of the video
	Apart    time.Duration // wall clock minus video at From, against the first span's
	Spread   time.Duration // how far single messages stray
	Messages int64
}

// ClockCurve shows how the wall clock of a chat log and the time of the video part: flat where both run alike, a slope where
// they drift (driftPPM, parts per million of the video's time), a step with its size where the video was cut or the
// broadcast was interrupted.
func ClockCurve(title string, spans []ClockSpan, driftPPM float64) Chart {
	s := Series{Name: "wall clock minus video", Kind: Line, Tone: Blue}
	c := Chart{Title: title, X: Axis{Label: "time of the video", Unit: Clock}, Y: Axis{Label: "s"}}
	var messages int64
	for i, p := range spans {
		drift := driftPPM * 1e-6 * (p.To - p.From).Seconds()
		for _, at := range []struct {
			x time.Duration
			y float64
		}{{p.From, p.Apart.Seconds()}, {p.To, p.Apart.Seconds() + drift}} {
			s.X, s.Y = append(s.X, at.x.Seconds()), append(s.Y, at.y)
			s.Low, s.High = append(s.Low, at.y), append(s.High, at.y+p.Spread.Seconds())
		}
		if n := len(s.Y); i > 0 {
			c.Marks = append(c.Marks, Mark{At: p.From.Seconds(), Label: fmt.Sprintf("%+.1f s", math.Round(10*(s.Y[n-2]-s.Y[n-3]))/10+0), Tone: Orange})
		}
		messages += p.Messages
	}
	c.Series = []Series{s}
	steps := "1 step"
	if len(spans) != 2 {
		steps = fmt.Sprintf("%d steps", max(0, len(spans)-1))
	}
	c.Subtitle = fmt.Sprintf("%s, by %s messages", steps, Grouped(int(messages)))
	if driftPPM != 0 && finite(driftPPM) {
		c.Subtitle += fmt.Sprintf(", drift of %.0f parts per million", driftPPM)
	}
	return c
}

// barWidths are the widths of PerMinute's bars, narrowest first.
var barWidths = []time.Duration{10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour}

// PerMinute draws how many moments there are a minute, in bars as narrow as keep them below 400 with some three moments in
// each, so that neither a short stream nor a quiet one shows mostly chance.
func PerMinute(title string, moments []time.Duration, length time.Duration) Chart {
	for _, at := range moments {
		length = max(length, at)
	}
	length = min(length, 10_000*time.Hour)
	bar := barWidths[len(barWidths)-1]
	for i := len(barWidths) - 1; i >= 0; i-- {
		if bars := float64(length) / float64(barWidths[i]); bars < 400 && (bars <= 4 || float64(len(moments)) >= 3*bars) {
			bar = barWidths[i]
		}
	}
	for length/bar > 400 {
		bar *= 2
	}
	width := bar.Seconds()
	n := max(1, int(math.Ceil(length.Seconds()/width)))
	s := Series{Name: "messages a minute", Kind: Bars, Tone: Blue, X: make([]float64, n), Y: make([]float64, n), Span: make([]float64, n)}
	for i := range n {
		s.X[i], s.Span[i] = float64(i)*width, width
	}
	before := 0
	for _, at := range moments {
		if at < 0 {
			before++
			continue
		}
		s.Y[min(int(at.Seconds()/width), n-1)] += 60 / width
	}
	c := Chart{Title: title, X: Axis{Label: "stream time", Unit: Clock, Max: float64(n) * width}, Y: Axis{Label: "per minute"}, Series: []Series{s}}
	c.Subtitle = Grouped(len(moments)) + " messages"
	if before > 0 {
		c.Subtitle += fmt.Sprintf(", %s of them before the recording", Grouped(before))
	}
	return c
}

// Curve is a named line, with an interval where Low and High are given.
type Curve struct {
	Name      string
	X, Y      []float64
	Low, High []float64
}

// Curves draws lines over a common axis, each in a color and a dash of its own.
func Curves(title, xLabel, yLabel string, curves ...Curve) Chart {
	c := Chart{Title: title, X: Axis{Label: xLabel}, Y: Axis{Label: yLabel}}
	for i, k := range curves {
		c.Series = append(c.Series, Series{Name: k.Name, Kind: Line, Dash: Dash(i % int(dashes)), X: k.X, Y: k.Y, Low: k.Low, High: k.High})
	}
	return c
}

// LossCurve draws the training loss of each step, a running mean over it, and the held-out loss where it was measured.
func LossCurve(title string, loss []float64, heldOut Curve) Chart {
	raw := Series{Name: "loss", Kind: Line, Tone: Gray}
	smooth := Series{Name: "running mean", Kind: Line, Tone: Blue}
	mean, weight := 0.0, 0.0
	decay := 1 - 1/math.Max(2, math.Min(50, float64(len(loss))/40)) // of the exponential mean
	for i, v := range loss {
		raw.X, raw.Y = append(raw.X, float64(i+1)), append(raw.Y, v)
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			mean, weight = mean*decay+v*(1-decay), weight*decay+1-decay
		}
		smooth.X, smooth.Y = append(smooth.X, float64(i+1)), append(smooth.Y, mean/math.Max(weight, 1e-12))
	}
	c := Chart{Title: title, X: Axis{Label: "step"}, Y: Axis{Label: "loss per token, nats"}, Series: []Series{raw, smooth}}
	if len(heldOut.X) > 0 {
		c.Series = append(c.Series, Series{Name: cmp.Or(heldOut.Name, "held out"), Kind: Line, Tone: Orange, X: heldOut.X, Y: heldOut.Y, Low: heldOut.Low, High: heldOut.High})
	}
	return c
}

// Scatter draws points. labels may be empty.
func Scatter(title, xLabel, yLabel string, x, y []float64, labels []string) Chart {
	return Chart{Title: title, X: Axis{Label: xLabel}, Y: Axis{Label: yLabel}, Series: []Series{{Name: yLabel, Kind: Points, Tone: Blue, X: x, Y: y, Labels: labels}}}
}

// Drop is what one filter took.
type Drop struct {
	Name    string
	Dropped int
}

// Waterfall shows how many of total were left after each filter.
func Waterfall(title string, total int, drops []Drop) Chart {
	s := Series{Name: "left", Kind: Bars, X: []float64{0}, Y: []float64{float64(total)}, Low: []float64{0}, Span: []float64{1}, Tones: []Tone{Gray}, Labels: []string{Grouped(total)}}
	names := []string{"all"}
	left := total
	for i, d := range drops {
		s.X, s.Span = append(s.X, float64(i+1)), append(s.Span, 1)
		s.Y, s.Low = append(s.Y, float64(left)), append(s.Low, float64(left-d.Dropped))
		s.Tones = append(s.Tones, Red)
		s.Labels = append(s.Labels, Grouped(-d.Dropped))
		names = append(names, strings.ReplaceAll(d.Name, "_", " ")) // so that long names break between lines
		left -= d.Dropped
	}
	n := float64(len(names))
	s.X, s.Y, s.Low, s.Span = append(s.X, n), append(s.Y, float64(left)), append(s.Low, 0), append(s.Span, 1)
	s.Tones, s.Labels = append(s.Tones, Green), append(s.Labels, Grouped(left))
	names = append(names, "kept")
	return Chart{Title: title, Subtitle: fmt.Sprintf("%s of %s kept", Grouped(left), Grouped(total)), X: Axis{Categories: names}, Y: Axis{Label: "messages"}, Series: []Series{s}}
}

// Span is something that lasts, on one of a timeline's tracks.
type Span struct {
	Track      string
	Start, End time.Duration
	Label      string
}

// Timeline draws spans on tracks, the first track at the top, in the order in which tracks appear.
func Timeline(title string, spans []Span) Chart {
	var tracks []string
	index := map[string]int{}
	for _, s := range spans {
		if _, ok := index[s.Track]; !ok {
			index[s.Track] = len(tracks)
			tracks = append(tracks, s.Track)
		}
	}
	slices.Reverse(tracks) // the axis counts from the bottom
	s := Series{Name: "spans", Kind: Spans}
	for _, sp := range spans {
		at := len(tracks) - 1 - index[sp.Track]
		s.X = append(s.X, sp.Start.Seconds())
		s.Span = append(s.Span, max(0, (sp.End-sp.Start).Seconds()))
		s.Y = append(s.Y, float64(at))
		s.Labels = append(s.Labels, sp.Label)
		s.Tones = append(s.Tones, Tone(index[sp.Track]%6)+Blue)
	}
	return Chart{Title: title, X: Axis{Label: "stream time", Unit: Clock}, Y: Axis{Categories: tracks}, Series: []Series{s}, Height: min(120+34*max(1, len(tracks)), 900)}
}

// maxLabel is how many characters of a name or label are drawn.
const maxLabel = 60

// clean makes s fit to be shown: one line of at most n characters, without characters that steer others.
func clean(s string, n int) string {
	if len(s) > 16*n { // what is not shown need not be looked at
		s = s[:16*n]
	}
	var b strings.Builder
	count := 0
	for _, r := range s {
		if count == n {
			b.WriteRune('…')
			break
		}
		switch {
		case r == '\n', r == '\r', r == '\t', r == '\u2028', r == '\u2029':
			r = ' '
		case r < 0x20, r >= 0x7f && r < 0xa0, r == 0xfffe, r == 0xffff, steers(r):
			r = '\uFFFD'
		}
		b.WriteRune(r)
		count++
	}
	return b.String()
}

// steers says whether r changes the direction in which the characters around it are shown.
func steers(r rune) bool {
	return r == '\u061C' || r == '\u200E' || r == '\u200F' || r >= '\u202A' && r <= '\u202E' || r >= '\u2066' && r <= '\u2069'
}

// number writes v with as many digits as it needs, up to four.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case math.IsInf(v, 0):
		return strings.Replace(fmt.Sprint(v), "Inf", "∞", 1)
	case a < 1e15 && (v == math.Trunc(v) || a >= 1e4):
		return Grouped(int(math.Round(v)))
	case a >= 1e15, a < 1e-4:
		return strings.Replace(fmt.Sprintf("%.3g", v), "-", "−", 1)
	default:
		return strings.Replace(fmt.Sprintf("%.4g", v), "-", "−", 1)
	}
}

// Grouped writes n with thin spaces between thousands.
func Grouped(n int) string {
	s := fmt.Sprint(n)
	sign := ""
	if n < 0 {
		sign, s = "−", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return sign + s
}

// clockText writes seconds as h:mm:ss, or m:ss below an hour.
func clockText(seconds float64) string {
	if math.IsNaN(seconds) || math.Abs(seconds) > 1e9 {
		return "–"
	}
	sign := ""
	if seconds < 0 {
		sign, seconds = "−", -seconds
	}
	t := int64(math.Round(seconds * 1000))
	ms, t := t%1000, t/1000
	out := fmt.Sprintf("%d:%02d", t/60, t%60)
	if t >= 3600 {
		out = fmt.Sprintf("%d:%02d:%02d", t/3600, t/60%60, t%60)
	}
	if ms != 0 {
		out += strings.TrimRight(fmt.Sprintf(".%03d", ms), "0")
	}
	return sign + out
}

// write puts v into words as its axis has it.
func (a Axis) write(v float64) string {
	if len(a.Categories) > 0 {
		if i := int(math.Round(v)); i >= 0 && i < len(a.Categories) {
			return clean(a.Categories[i], maxLabel)
		}
		return ""
	}
	switch a.Unit {
	case Percent:
		return number(math.Round(v*1e6)/1e4) + "\u202f%"
	case Clock:
		return clockText(v)
	}
	return number(v)
}
