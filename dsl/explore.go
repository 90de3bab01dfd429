package dsl

import (
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
	"sync"

	"banter/stdlib/chart"
)

// Threshold is a confidence that somebody chooses by dragging, in the picture that Explore shows. What it tells is what
// was chosen last.
type Threshold struct {
	curve   *curve
	front   Frontend // that it is dragged in; nil: nowhere
	address string   // of its picture

	mu   sync.Mutex
	edge int    // of the curve: the confidence is edge/edges
	told string // the run of a cell and the edge that it was last told of
}

// edges is into how many steps the confidence is divided. A threshold is one of 0/edges, 1/edges, ..., edges/edges.
const edges = 200

// curve is what there is to know about a choice of threshold, for each edge and for each stream.
type curve struct {
	total   int
	streams []streamCurve
	samples []sampled
}

// streamCurve counts one stream's pairs.
type streamCurve struct {
	Name  string             `json:"name"`
	Count [edges]int         `json:"count"` // pairs between this edge and the next
	Rate  [edges + 1]float64 `json:"rate"`  // false discovery rate among the pairs at or above an edge
}

// sampled is a pair to look at.
type sampled struct {
	Bin        int     `json:"bin"`
	Stream     string  `json:"stream"`
	At         float64 `json:"at"` // seconds of stream time at which the speech begins
	Speech     string  `json:"speech"`
	Response   string  `json:"response"`
	Confidence float64 `json:"confidence"`
	FDR        float64 `json:"fdr"`
}

const (
	sampledPerBin  = 2
	sampledText    = 160 // characters
	exploreStreams = 40  // counted one by one; the others are added up
)

// binOf is the edge at or below a confidence, as AtLeast compares them.
func binOf(confidence float64) int {
	if !(confidence > 0) {
		return 0
	}
	bin := min(int(confidence*edges), edges-1)
	for bin > 0 && float64(bin)/edges > confidence {
		bin--
	}
	for bin < edges-1 && float64(bin+1)/edges <= confidence {
		bin++
	}
	return bin
}

func newCurve(pairs []Pair) *curve {
	c := &curve{total: len(pairs)}
	index := map[string]int{}
	lowest := make([][edges]int, exploreStreams+1) // for each stream and bin: the least confident pair, counted from 1
	perBin := [edges]int{}
	at := 0
	for i := range pairs {
		p := &pairs[i]
		if i == 0 || p.Stream != pairs[i-1].Stream { // pairs come stream by stream
			at = c.stream(index, p.Stream)
		}
		bin := binOf(p.Confidence)
		c.streams[at].Count[bin]++
		if l := lowest[at][bin]; l == 0 || p.Confidence < pairs[l-1].Confidence {
			lowest[at][bin] = i + 1
		}
		if perBin[bin] < sampledPerBin {
			perBin[bin]++
			c.samples = append(c.samples, sampled{bin, inert(p.Stream, 60), p.SpeechStart.Seconds(), inert(p.Speech, sampledText), inert(p.Response, sampledText),
				math.Floor(p.Confidence*1e3) / 1e3, math.Round(p.FDR*1e3) / 1e3}) // rounded up, a pair would seem to pass a threshold that it misses
		}
	}
	for at := range c.streams {
		rate := 0.0
		for bin := edges - 1; bin >= 0; bin-- {
			if l := lowest[at][bin]; l > 0 {
				rate = pairs[l-1].FDR
			}
			c.streams[at].Rate[bin] = math.Round(rate*1e5) / 1e5
		}
	}
	slices.SortFunc(c.streams, func(a, b streamCurve) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(c.samples, func(a, b sampled) int { return a.Bin - b.Bin })
	return c
}

// stream is the index of a stream's counts.
func (c *curve) stream(index map[string]int, name string) int {
	at, known := index[name]
	if known {
		return at
	}
	at = min(len(index), exploreStreams)
	index[name] = at
	if at == len(c.streams) {
		shown := inert(name, 60)
		if at == exploreStreams {
			shown = "other streams"
		}
		c.streams = append(c.streams, streamCurve{Name: shown})
	}
	return at
}

// at counts the pairs at or above an edge, and how many of them are expected to be wrong.
func (c *curve) at(edge int) (kept int, wrong float64) {
	for i := range c.streams {
		st := &c.streams[i]
		n := 0
		for _, k := range st.Count[edge:] {
			n += k
		}
		kept += n
		wrong += float64(n) * st.Rate[edge]
	}
	return kept, wrong
}

// rate is the false discovery rate at an edge over all streams.
func (c *curve) rate(edge int) float64 {
	kept, wrong := c.at(edge)
	return wrong / math.Max(1, float64(kept))
}

// start is the lowest edge at which the false discovery rate is at most 0.1, or the one at which it is lowest.
func (c *curve) start() int {
	best, least := edges/2, math.Inf(1)
	for edge := range edges {
		kept, _ := c.at(edge)
		if kept == 0 {
			break
		}
		rate := c.rate(edge)
		if rate <= likely {
			return edge
		}
		if rate < least {
			best, least = edge, rate
		}
	}
	return best
}

// Explore shows how many pairs each confidence keeps, how many of them are expected to be wrong, and what the pairs around
// it look like, below the cell. The threshold can be dragged there, and the value that is returned follows:
//
//	threshold := Explore(pairs)
//
// and, in a later cell,
//
//	good := Filter(pairs, threshold.Rule())
//
// Until it is dragged, and where there is no notebook, it is the confidence at, rounded to 0.005; where none is given, the
// lowest at which the false discovery rate is at most 0.1. A cell that uses the threshold says beside its output what it
// was then: so the saved notebook tells, and recipe freeze writes it down as at.
func Explore(pairs Pairs, at ...float64) *Threshold {
	t := &Threshold{curve: newCurve(pairs.read())}
	switch {
	case len(at) == 0:
		t.edge = t.curve.start()
	case len(at) > 1, !(at[0] >= 0 && at[0] <= 1):
		fail("explore", "", fmt.Errorf("begin at one confidence between 0 and 1, not at %v", at))
	default:
		t.edge = int(math.Round(at[0] * edges))
	}
	s := current()
	if s.front == nil {
		return t
	}
	t.front, t.address = s.front, fmt.Sprintf("banter.explore.%s.%d", pairs.step.Key.Short(), s.explored.Add(1))
	s.front.Hear(t.address, t.hear)
	s.front.Show(t.picture(t.address, s.front.Kernel()))
	return t
}

// The forms in which a notebook keeps which picture stands where, and which threshold a cell was run with.
const (
	exploreMIME   = "application/vnd.banter.explore+json"
	thresholdMIME = "application/vnd.banter.threshold+json"
)

// use is the edge for a cell that goes by it, which is said below the cell: once in each run.
func (t *Threshold) use() int {
	t.mu.Lock()
	edge := t.edge
	t.mu.Unlock()
	if t.front == nil {
		return edge
	}
	cell, run := t.front.Cell()
	now := fmt.Sprint(cell, " ", run, " ", edge)
	t.mu.Lock()
	again := t.told == now
	t.told = now
	t.mu.Unlock()
	if run == "" || again {
		return edge
	}
	text := "threshold: " + t.at(edge)
	t.front.Show(map[string]any{
		"text/plain":  text,
		"text/html":   `<p style="margin:4px 8px;font-size:90%;opacity:.75">` + html.EscapeString(text) + `</p>`,
		thresholdMIME: map[string]any{"explore": t.address, "confidence": float64(edge) / edges},
	})
	return edge
}

// hear takes what the page says.
func (t *Threshold) hear(data json.RawMessage) {
	var m struct {
		Edge *int `json:"edge"`
	}
	if json.Unmarshal(data, &m) != nil || m.Edge == nil || *m.Edge < 0 || *m.Edge > edges {
		return // a page can say anything; only a threshold is one
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.edge = *m.Edge
}

func (t *Threshold) now() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.edge
}

// Confidence is the threshold.
func (t *Threshold) Confidence() float64 { return float64(t.use()) / edges }

// FDR is the false discovery rate among the pairs that the threshold keeps.
func (t *Threshold) FDR() float64 { return t.curve.rate(t.use()) }

// Kept is how many pairs the threshold keeps.
func (t *Threshold) Kept() int {
	kept, _ := t.curve.at(t.use())
	return kept
}

// Rule keeps the pairs at or above the threshold.
func (t *Threshold) Rule() Rule { return Confidence.AtLeast(t.Confidence()) }

// String says what was chosen and what it means.
func (t *Threshold) String() string { return t.at(t.now()) }

func (t *Threshold) at(edge int) string {
	kept, wrong := t.curve.at(edge)
	return fmt.Sprintf("confidence of at least %g: %d of %d pairs, of which %.0f (%s) are expected to be wrong", float64(edge)/edges, kept, t.curve.total, wrong, share(t.curve.rate(edge)))
}

// MimeBundle says what was chosen last. The picture to drag in is shown by Explore itself.
func (t *Threshold) MimeBundle() map[string]any {
	var v view
	v.say("%s", t.String())
	return v.forms()
}

//go:embed assets/explore.js
var exploreScript string

// picture is what Explore shows: two static charts, which a script replaces by one to drag in.
func (t *Threshold) picture(address, kernel string) map[string]any {
	edge := t.now()
	histogram, rates := t.charts(edge)
	data, err := json.Marshal(map[string]any{"address": address, "kernel": kernel, "edges": edges, "edge": edge, "total": t.curve.total, "streams": t.curve.streams, "samples": t.curve.samples})
	if err != nil {
		fail("explore", "", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<div data-banter-explore="%s" style="max-width:860px"><p>%s</p>`, html.EscapeString(address), html.EscapeString(t.String()))
	for _, c := range []chart.Chart{histogram, rates} {
		fmt.Fprintf(&b, `<img alt="%s" style="max-width:100%%" src="data:image/svg+xml;base64,%s">`, html.EscapeString(chart.Text(c)), base64.StdEncoding.EncodeToString(chart.SVG(c)))
	}
	// json.Marshal writes <, > and & as escapes, so that no text in the data can end the script.
	fmt.Fprintf(&b, `</div><script>(%s)(window, document, %s)</script>`, strings.TrimSpace(exploreScript), data)
	forms := map[string]any{"text/html": b.String(), "text/plain": t.String(), exploreMIME: map[string]any{"explore": address}}
	if png, err := chart.PNG(histogram); err == nil {
		forms["image/png"] = png
	}
	return forms
}

// charts are the static pictures: how many pairs there are at each confidence, and how many of those above are wrong.
func (t *Threshold) charts(edge int) (histogram, rates chart.Chart) {
	const wide = edges / 50 // edges in a bar
	bars := chart.Series{Name: "pairs", Kind: chart.Bars}
	rate := chart.Series{Name: "false discovery rate", Kind: chart.Line, Tone: chart.Orange}
	for at := 0; at < edges; at += wide {
		n := 0
		for i := range t.curve.streams {
			for _, k := range t.curve.streams[i].Count[at : at+wide] {
				n += k
			}
		}
		tone := chart.Gray
		if at >= edge {
			tone = chart.Blue
		}
		bars.X, bars.Y, bars.Span, bars.Tones = append(bars.X, float64(at)/edges), append(bars.Y, float64(n)), append(bars.Span, float64(wide)/edges), append(bars.Tones, tone)
		if kept, _ := t.curve.at(at); kept > 0 {
			rate.X, rate.Y = append(rate.X, float64(at)/edges), append(rate.Y, t.curve.rate(at))
		}
	}
	mark := []chart.Mark{{At: float64(edge) / edges, Label: fmt.Sprintf("threshold %g", float64(edge)/edges), Tone: chart.Red}}
	histogram = chart.Chart{Title: "Pairs by confidence", Subtitle: t.String(), X: chart.Axis{Label: "confidence", Max: 1}, Y: chart.Axis{Label: "pairs"}, Series: []chart.Series{bars}, Marks: mark, Height: 260}
	rates = chart.Chart{Title: "False discovery rate among the pairs kept", X: chart.Axis{Label: "threshold", Max: 1}, Y: chart.Axis{Unit: chart.Percent}, Series: []chart.Series{rate}, Marks: mark, Height: 220}
	return histogram, rates
}
