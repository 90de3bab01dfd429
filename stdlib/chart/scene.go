package chart

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// A scene is a chart as shapes with places and roles of color, from which SVG and PNG are written alike.
type scene struct {
	width, height float64
	title         string // for those who cannot see it
	shapes        []shape
}

// role is what a shape's color is for; a theme gives each a color.
type role uint8

const (
	roleGround role = iota // behind everything
	roleText
	roleMuted
	roleGrid
	roleAxis
	roleTone // roleTone + tone, from Blue on
)

func toneRole(t Tone) role { return roleTone + role(t) }

type shapeKind uint8

const (
	shapeRect shapeKind = iota // from points[0] to points[1]
	shapeLine
	shapeArea // a closed polygon
	shapeDots // circles around points
	shapeText // at points[0]
)

type point struct{ x, y float64 }

type shape struct {
	kind    shapeKind
	points  []point
	role    role
	opacity float64
	width   float64 // of the line, or radius of dots
	dash    Dash
	text    string  // what is written, or said when pointing at the shape
	size    float64 // of text
	anchor  float64 // 0: text starts at the point, 0.5: is centered on it, 1: ends at it
	bold    bool
	turned  bool // text reads upwards
}

// face measures text. Browsers set it in a font of their own of about the same width.
var face = sync.OnceValue(func() font.Face {
	parsed, err := opentype.Parse(goregular.TTF)
	if err != nil {
		panic("chart: the font that comes with golang.org/x/image does not parse: " + err.Error())
	}
	f, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: 100, DPI: 72, Hinting: font.HintingNone})
	if err != nil {
		panic("chart: the font that comes with golang.org/x/image has no face: " + err.Error())
	}
	return f
})

var faceLock sync.Mutex // a face keeps a cache that is not safe to share

// textWidth is about how wide s is at a size in pixels.
func textWidth(s string, size float64) float64 {
	faceLock.Lock()
	defer faceLock.Unlock()
	var sum fixed.Int26_6
	for _, r := range s {
		if r == '\u202f' {
			r = ' '
		}
		if a, ok := face().GlyphAdvance(r); ok && r < 0x2e80 {
			sum += a
		} else {
			sum += fixed.I(100) // full-width characters are square
		}
	}
	return float64(sum) / 64 * size / 100
}

// fit cuts s to a width in pixels.
func fit(s string, size, width float64) string {
	if textWidth(s, size) <= width {
		return s
	}
	runes := []rune(s)
	for len(runes) > 1 && textWidth(string(runes)+"…", size) > width {
		runes = runes[:len(runes)-1]
	}
	return strings.TrimRight(string(runes), " ") + "…"
}

// wrap breaks s between words into at most n lines of a width in pixels.
func wrap(s string, size, width float64, n int) []string {
	var lines []string
	for _, word := range strings.Fields(s) {
		if k := len(lines); k > 0 && (textWidth(lines[k-1]+" "+word, size) <= width || k == n) {
			lines[k-1] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	for i := range lines {
		lines[i] = fit(lines[i], size, width)
	}
	return lines
}

// maxLines is how many lines the name of a category may take.
const maxLines = 3

const (
	titleSize    = 15.0
	subtitleSize = 12.0
	labelSize    = 11.5
	maxShown     = 4000 // values of a series that are drawn; more are thinned
)

// layout turns a chart into a scene.
func layout(c Chart) *scene {
	width, height := float64(clampSize(c.Width, 760)), float64(clampSize(c.Height, 340))
	s := &scene{width: width, height: height}
	s.rect(0, 0, width, height, roleGround, 1, "")
	top := 14.0
	if title := clean(c.Title, 200); title != "" {
		s.title = title
		top += titleSize
		s.shapes = append(s.shapes, shape{kind: shapeText, points: []point{{16, top}}, role: roleText, opacity: 1, text: fit(title, titleSize*1.06, width-32), size: titleSize, bold: true})
		top += 4
	}
	if sub := clean(c.Subtitle, 200); sub != "" {
		top += subtitleSize + 2
		s.text(16, top, sub, subtitleSize, 0, roleMuted, width-32)
		top += 4
	}
	series := prepare(c.Series)
	top = s.legend(series, top, width)
	top += 12
	if named(c.Marks) {
		top += labelSize // above the plot, where no curve runs through names
	}

	x, y := scales(c, series)
	bottom := height - 14
	if c.X.Label != "" {
		s.text(width/2, bottom, clean(c.X.Label, maxLabel), labelSize, 0.5, roleMuted, width-40)
		bottom -= labelSize + 5
	}
	turned, lines := false, 1
	left, right := 16.0, width-18
	if c.Y.Label != "" {
		left += labelSize + 6
	}
	widest := 0.0
	for _, t := range y.ticks {
		widest = math.Max(widest, textWidth(fit(c.Y.write(t), labelSize, width*0.3), labelSize))
	}
	left += widest + 8
	if n := len(c.X.Categories); n > 0 {
		room := (right - left) / float64(n)
		for _, t := range x.ticks {
			lines = max(lines, len(wrap(c.X.write(t), labelSize, room-6, maxLines)))
		}
		if turned = room < 46; turned {
			lines = 1
			bottom -= 60
		}
	}
	bottom -= float64(lines)*(labelSize+1) + 5
	x.a, x.b, y.a, y.b = left, right, bottom, top
	if c.Y.Label != "" {
		s.shapes = append(s.shapes, shape{kind: shapeText, points: []point{{16 + labelSize/2, (top + bottom) / 2}}, role: roleMuted, opacity: 1,
			text: fit(clean(c.Y.Label, maxLabel), labelSize, bottom-top), size: labelSize, anchor: 0.5, turned: true})
	}
	s.axes(c, x, y, turned)
	for _, k := range series {
		s.series(k, x, y)
	}
	s.marks(c.Marks, x, y)
	return s
}

func clampSize(v, otherwise int) int {
	if v <= 0 {
		return otherwise
	}
	return min(max(v, 160), 4000)
}

// prepare gives every series a tone, drops what cannot be drawn and thins what is too much.
func prepare(in []Series) []Series {
	var out []Series
	next := Blue
	for _, k := range in[:min(len(in), 40)] {
		n := min(len(k.X), len(k.Y))
		if k.Tone == Auto {
			k.Tone = next
			next = Blue + (next-Blue+1)%6
		}
		full := k
		k.X, k.Y, k.Span, k.Low, k.High, k.Labels, k.Tones = nil, nil, nil, nil, nil, nil, nil
		for _, i := range thin(full, n) {
			if !finite(full.X[i]) || !finite(full.Y[i]) {
				continue
			}
			k.X, k.Y = append(k.X, full.X[i]), append(k.Y, full.Y[i])
			k.Span = appendNumber(k.Span, full.Span, i, 0)
			k.Low = appendNumber(k.Low, full.Low, i, full.Y[i])
			k.High = appendNumber(k.High, full.High, i, full.Y[i])
			k.Labels = appendAt(k.Labels, full.Labels, i)
			k.Tones = appendAt(k.Tones, full.Tones, i)
		}
		out = append(out, k)
	}
	return out
}

func appendAt[T any](to, from []T, i int) []T {
	if i < len(from) {
		return append(to, from[i])
	}
	return to
}

// appendNumber is appendAt with otherwise in place of what is no number.
func appendNumber(to, from []float64, i int, otherwise float64) []float64 {
	if i < len(from) {
		return append(to, at(from, i, otherwise))
	}
	return to
}

func finite(v float64) bool { return !math.IsNaN(v) && math.Abs(v) < 1e300 }

// thin chooses at most about maxShown of n values. Of lines the lowest and highest of each stretch are kept, so that no
// peak is lost; of all else an even sample.
func thin(s Series, n int) []int {
	var keep []int
	if n <= maxShown {
		for i := range n {
			keep = append(keep, i)
		}
		return keep
	}
	if s.Kind != Line && s.Kind != Steps {
		for i := range maxShown {
			keep = append(keep, i*n/maxShown)
		}
		return keep
	}
	stretches := maxShown / 2
	for k := range stretches {
		from, to := k*n/stretches, (k+1)*n/stretches
		low, high := from, from
		for i := from; i < to; i++ {
			if s.Y[i] < s.Y[low] {
				low = i
			}
			if s.Y[i] > s.Y[high] {
				high = i
			}
		}
		keep = append(keep, min(low, high))
		if low != high {
			keep = append(keep, max(low, high))
		}
	}
	return keep
}

// scales finds the ranges of both axes.
func scales(c Chart, series []Series) (x, y *scale) {
	lowX, highX := math.Inf(1), math.Inf(-1)
	lowY, highY := math.Inf(1), math.Inf(-1)
	for _, k := range series {
		for i := range k.X {
			right := k.X[i]
			if i < len(k.Span) && finite(k.Span[i]) {
				right += k.Span[i]
			}
			lowX, highX = math.Min(lowX, k.X[i]), math.Max(highX, right)
			lowY, highY = math.Min(lowY, k.Y[i]), math.Max(highY, k.Y[i])
			if i < len(k.Low) && finite(k.Low[i]) {
				lowY = math.Min(lowY, k.Low[i])
			}
			if i < len(k.High) && finite(k.High[i]) {
				highY = math.Max(highY, k.High[i])
			}
		}
		if k.Kind == Bars {
			lowY = math.Min(lowY, 0)
		}
	}
	for _, m := range c.Marks {
		if m.Horizontal && finite(m.At) {
			lowY, highY = math.Min(lowY, m.At), math.Max(highY, m.At)
		}
	}
	fixedX := c.X.Min != 0 || c.X.Max != 0
	if fixedX {
		lowX, highX = c.X.Min, c.X.Max
	}
	if c.Y.Min != 0 || c.Y.Max != 0 {
		lowY, highY = c.Y.Min, c.Y.Max
	} else if !c.Y.Log && lowY > 0 && lowY < 0.4*highY {
		lowY = 0 // nearly there anyway
	}
	// Lines end where their data end; only the height is rounded up.
	return newScale(c.X, lowX, highX, 8, true), newScale(c.Y, lowY, highY, 5, false)
}

func (s *scene) rect(x0, y0, x1, y1 float64, r role, opacity float64, said string) {
	s.shapes = append(s.shapes, shape{kind: shapeRect, points: []point{{math.Min(x0, x1), math.Min(y0, y1)}, {math.Max(x0, x1), math.Max(y0, y1)}}, role: r, opacity: opacity, text: said})
}

func (s *scene) line(points []point, r role, width, opacity float64, dash Dash) {
	s.shapes = append(s.shapes, shape{kind: shapeLine, points: points, role: r, width: width, opacity: opacity, dash: dash})
}

func (s *scene) text(x, y float64, text string, size, anchor float64, r role, width float64) {
	s.shapes = append(s.shapes, shape{kind: shapeText, points: []point{{x, y}}, role: r, opacity: 1, text: fit(text, size, width), size: size, anchor: anchor})
}

// legendLine is how long a line is shown beside its name: its dash is seen at least once.
const legendLine = 28

// legend names the series, where there are several.
func (s *scene) legend(series []Series, top, width float64) float64 {
	if len(series) < 2 {
		return top
	}
	x := 16.0
	top += 18
	for _, k := range series {
		name := fit(clean(k.Name, maxLabel), labelSize, 220)
		w := legendLine + 6 + textWidth(name, labelSize) + 16
		if x+w > width && x > 16 {
			x = 16
			top += 16
		}
		if k.Kind == Line || k.Kind == Steps {
			s.line([]point{{x, top - 4}, {x + legendLine, top - 4}}, toneRole(k.Tone), 2.5, 1, k.Dash)
		} else {
			s.rect(x+9, top-9, x+19, top+1, toneRole(k.Tone), 1, "")
		}
		s.text(x+legendLine+6, top, name, labelSize, 0, roleMuted, 240)
		x += w
	}
	return top
}

func (s *scene) axes(c Chart, x, y *scale, turned bool) {
	for _, t := range y.ticks {
		at := y.at(t)
		if len(c.Y.Categories) == 0 {
			s.line([]point{{x.a, at}, {x.b, at}}, roleGrid, 1, 1, Solid)
		}
		s.text(x.a-8, at+labelSize*0.35, c.Y.write(t), labelSize, 1, roleMuted, s.width*0.3)
	}
	last := math.Inf(-1)
	for _, t := range x.ticks {
		at := x.at(t)
		if at < x.a-0.5 || at > x.b+0.5 {
			continue
		}
		name := c.X.write(t)
		if turned {
			s.shapes = append(s.shapes, shape{kind: shapeText, points: []point{{at + labelSize*0.35, y.a + 8}}, role: roleMuted, opacity: 1,
				text: fit(name, labelSize, 66), size: labelSize, anchor: 1, turned: true})
			continue
		}
		if n := len(c.X.Categories); n > 0 {
			for i, line := range wrap(name, labelSize, (x.b-x.a)/float64(n)-6, maxLines) {
				s.text(at, y.a+(labelSize+1)*float64(i+1)+5, line, labelSize, 0.5, roleMuted, s.width)
			}
			continue
		}
		half := textWidth(name, labelSize) / 2
		center := math.Min(math.Max(at, half+4), s.width-half-4)
		if center-half < last+6 {
			continue
		}
		last = center + half
		s.line([]point{{at, y.a}, {at, y.a + 4}}, roleAxis, 1, 1, Solid)
		s.text(center, y.a+labelSize+6, name, labelSize, 0.5, roleMuted, s.width)
	}
	zero := y.a
	if len(c.Y.Categories) == 0 && !y.axis.Log && y.from < 0 && y.to > 0 {
		zero = y.at(0)
	}
	s.line([]point{{x.a, zero}, {x.b, zero}}, roleAxis, 1, 1, Solid)
}

func (s *scene) series(k Series, x, y *scale) {
	if len(k.X) == 0 {
		return
	}
	tone := func(i int) role {
		if i < len(k.Tones) && k.Tones[i] != Auto {
			return toneRole(k.Tones[i])
		}
		return toneRole(k.Tone)
	}
	px := func(v float64) float64 { return math.Min(math.Max(x.at(v), x.a), x.b) }
	py := func(v float64) float64 { return math.Min(math.Max(y.at(v), y.b), y.a) }
	say := func(i int, what string) string {
		if len(k.X) > 400 { // pointing at so many helps nobody
			return ""
		}
		if i < len(k.Labels) && k.Labels[i] != "" {
			return clean(k.Labels[i], 200)
		}
		return what
	}
	switch k.Kind {
	case Bars:
		for i := range k.X {
			low := 0.0
			if i < len(k.Low) && finite(k.Low[i]) {
				low = k.Low[i]
			}
			if y.axis.Log && low <= 0 {
				low = y.from
			}
			left, right := k.X[i], k.X[i]+at(k.Span, i, 1)
			gap := 0.5
			if len(x.axis.Categories) > 0 {
				left, right = k.X[i]-0.38, k.X[i]+0.38
				gap = 0
			}
			l, r := px(left), px(right)
			if r-l > 6 {
				gap *= 2
			}
			if r-l < 2 {
				gap = 0
			}
			if k.Y[i] != low {
				s.rect(l+gap, py(k.Y[i]), math.Max(r-gap, l+gap+0.3), py(low), tone(i), 0.92, say(i, x.axis.write(k.X[i])+": "+y.axis.write(k.Y[i])))
			}
			if len(x.axis.Categories) > 0 && i < len(k.Labels) {
				s.text((l+r)/2, py(math.Max(k.Y[i], low))-4, clean(k.Labels[i], maxLabel), labelSize, 0.5, roleText, 120)
			}
		}
	case Points:
		byTone := map[role][]point{}
		for i := range k.X {
			if p := (point{x.at(k.X[i]), y.at(k.Y[i])}); p.x >= x.a-1 && p.x <= x.b+1 && p.y <= y.a+1 && p.y >= y.b-1 {
				byTone[tone(i)] = append(byTone[tone(i)], p)
			}
		}
		radius, opacity := 3.0, 0.75
		if len(k.X) > 300 {
			radius, opacity = 2, 0.45
		}
		for r := roleGround; r <= toneRole(Gray); r++ {
			if len(byTone[r]) > 0 {
				s.shapes = append(s.shapes, shape{kind: shapeDots, points: byTone[r], role: r, opacity: opacity, width: radius})
			}
		}
	case Spans:
		thick := math.Min(0.34*(y.a-y.b)/math.Max(1, float64(len(y.axis.Categories))), 13)
		for i := range k.X {
			center, l, r := y.at(k.Y[i]), px(k.X[i]), px(k.X[i]+at(k.Span, i, 0))
			r = math.Max(r, l+1.2)
			s.rect(l, center-thick, r, center+thick, tone(i), 0.85, say(i, x.axis.write(k.X[i])))
			if i < len(k.Labels) && r-l > 34 && thick >= 7 {
				s.text(l+5, center+labelSize*0.35, clean(k.Labels[i], maxLabel), labelSize, 0, roleGround, r-l-8)
			}
		}
	default:
		if len(k.Low) == len(k.X) && len(k.High) == len(k.X) {
			var band []point
			for i := range k.X {
				band = appendStep(band, point{px(k.X[i]), py(k.High[i])}, k.Kind == Steps)
			}
			var under []point
			for i := range k.X {
				under = appendStep(under, point{px(k.X[i]), py(k.Low[i])}, k.Kind == Steps)
			}
			for i := len(under) - 1; i >= 0; i-- {
				band = append(band, under[i])
			}
			s.shapes = append(s.shapes, shape{kind: shapeArea, points: band, role: toneRole(k.Tone), opacity: 0.18})
		}
		var path []point
		for i := range k.X {
			path = appendStep(path, point{px(k.X[i]), py(k.Y[i])}, k.Kind == Steps)
		}
		width, opacity := 2.0, 1.0
		if k.Tone == Gray {
			width, opacity = 1.2, 0.6
		}
		s.line(path, toneRole(k.Tone), width, opacity, k.Dash)
		if len(path) <= 12 && k.Kind == Line {
			s.shapes = append(s.shapes, shape{kind: shapeDots, points: path, role: toneRole(k.Tone), opacity: 1, width: 3})
		}
	}
}

func at(v []float64, i int, otherwise float64) float64 {
	if i < len(v) && finite(v[i]) {
		return v[i]
	}
	return otherwise
}

// appendStep appends p, going there level first where steps is true.
func appendStep(path []point, p point, steps bool) []point {
	if n := len(path); steps && n > 0 && path[n-1].y != p.y {
		path = append(path, point{p.x, path[n-1].y})
	}
	return append(path, p)
}

// named says whether a mark has its name above the plot.
func named(marks []Mark) bool {
	return slices.ContainsFunc(marks, func(m Mark) bool { return !m.Horizontal && m.Label != "" })
}

func (s *scene) marks(marks []Mark, x, y *scale) {
	last := math.Inf(-1)
	for _, m := range marks[:min(len(marks), 60)] {
		tone := m.Tone
		if tone == Auto {
			tone = Red
		}
		if m.Horizontal {
			at := y.at(m.At)
			if !finite(m.At) || at > y.a+0.5 || at < y.b-0.5 {
				continue
			}
			s.line([]point{{x.a, at}, {x.b, at}}, toneRole(tone), 1.4, 1, Dashed)
			s.text(x.b, at-5, clean(m.Label, maxLabel), labelSize, 1, toneRole(tone), x.b-x.a)
			continue
		}
		at := x.at(m.At)
		if !finite(m.At) || at < x.a-0.5 || at > x.b+0.5 {
			continue
		}
		s.line([]point{{at, y.b - 2}, {at, y.a}}, toneRole(tone), 1.4, 1, Dashed)
		label := clean(m.Label, maxLabel)
		w := textWidth(label, labelSize)
		center := math.Min(math.Max(at, x.a+w/2), x.b-w/2)
		if center-w/2 < last+6 {
			continue // its line is enough where names would overlap
		}
		last = center + w/2
		s.text(center, y.b-6, label, labelSize, 0.5, toneRole(tone), x.b-x.a)
	}
}

// describe says in words what the chart shows, for those who cannot see it and for plain text.
func describe(c Chart) string {
	var b strings.Builder
	b.WriteString(clean(c.Title, 200))
	if c.Subtitle != "" {
		b.WriteString(": " + clean(c.Subtitle, 200))
	}
	for _, k := range c.Series[:min(len(c.Series), 8)] {
		low, high := math.Inf(1), math.Inf(-1)
		for _, v := range k.Y {
			if finite(v) {
				low, high = math.Min(low, v), math.Max(high, v)
			}
		}
		if low <= high && k.Kind != Spans {
			fmt.Fprintf(&b, "; %s %s to %s over %s values", clean(k.Name, maxLabel), c.Y.write(low), c.Y.write(high), Grouped(len(k.Y)))
		}
	}
	return b.String()
}
