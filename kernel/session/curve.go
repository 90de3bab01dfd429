package session

import (
	"encoding/base64"
	"fmt"
	"html"
	"maps"
	"slices"
	"strings"
	"time"

	"banter/stdlib/chart"
)

// curves are what a step measured as it went on, such as the loss of a training, drawn below its bar.
type curves struct {
	by    map[string]*curve
	drawn time.Time // when picture was drawn
	stale bool
	html  string
}

// curve is one measurement by the units that were finished. Of many points every second one is dropped, again and again.
type curve struct {
	x, y   []float64
	skip   int // points between two that are kept
	passed int
}

const (
	maxCurves     = 8
	maxPoints     = 600
	redrawPicture = time.Second
)

func (c *curves) add(done int64, values map[string]float64) {
	if c.by == nil {
		c.by = map[string]*curve{}
	}
	for name, v := range values {
		k := c.by[name]
		if k == nil {
			if len(c.by) == maxCurves {
				continue
			}
			k = &curve{}
			c.by[name] = k
		}
		k.add(float64(done), v)
		c.stale = true
	}
}

func (k *curve) add(x, y float64) {
	if k.passed++; k.passed <= k.skip {
		return
	}
	k.passed = 0
	k.x, k.y = append(k.x, x), append(k.y, y)
	if len(k.x) < maxPoints {
		return
	}
	n := 0
	for i := 0; i < len(k.x); i += 2 {
		k.x[n], k.y[n] = k.x[i], k.y[i]
		n++
	}
	k.x, k.y, k.skip = k.x[:n], k.y[:n], 2*k.skip+1
}

// names of measurements as people read them; others are shown as they are called.
var curveNames = map[string]string{"loss": "loss", "held_out": "held out", "lr": "learning rate", "grad_norm": "norm of the gradient", "tokens_per_s": "tokens a second"}

// picture draws the curves, at most once a second unless it is the last time. Losses share a chart.
func (c *curves) picture(unit string, last bool) string {
	if !c.stale || !last && time.Since(c.drawn) < redrawPicture {
		return c.html
	}
	c.drawn, c.stale = time.Now(), false
	groups := [][]string{{"loss", "held_out"}, {"lr"}, {"grad_norm"}, {"tokens_per_s"}}
	for _, name := range slices.Sorted(maps.Keys(c.by)) {
		if _, known := curveNames[name]; !known {
			groups = append(groups, []string{name})
		}
	}
	var b strings.Builder
	for _, group := range groups {
		picture := chart.Chart{X: chart.Axis{Label: unit}, Width: 380, Height: 200}
		for i, name := range group {
			k := c.by[name]
			if k == nil || len(k.x) < 2 && i == 0 {
				continue
			}
			title := curveNames[name]
			if title == "" {
				title = name
			}
			if picture.Title == "" {
				picture.Title = title
			}
			picture.Series = append(picture.Series, chart.Series{Name: title, Kind: chart.Line, X: k.x, Y: k.y, Tone: []chart.Tone{chart.Blue, chart.Orange}[i]})
		}
		if len(picture.Series) > 0 {
			fmt.Fprintf(&b, `<img style="max-width:100%%" alt="%s" src="data:image/svg+xml;base64,%s">`, html.EscapeString(chart.Text(picture)), base64.StdEncoding.EncodeToString(chart.SVG(picture)))
		}
	}
	if b.Len() == 0 {
		return ""
	}
	c.html = `<div style="display:flex;flex-wrap:wrap">` + b.String() + `</div>`
	return c.html
}
