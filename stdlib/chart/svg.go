package chart

import (
	"html"
	"math"
	"strconv"
	"strings"
)

// theme gives each role of color a value.
type theme [roleTone + role(Gray) + 1]string

var light = theme{
	roleGround: "#ffffff", roleText: "#1c2430", roleMuted: "#5b6675", roleGrid: "#e6e9ee", roleAxis: "#a9b2bf",
	roleTone + role(Blue): "#2b6cb0", roleTone + role(Orange): "#d97706", roleTone + role(Green): "#2f855a", roleTone + role(Red): "#c53030",
	roleTone + role(Violet): "#6b46c1", roleTone + role(Teal): "#0e7c86", roleTone + role(Gray): "#9aa5b4",
}

var dark = theme{
	roleGround: "#161b22", roleText: "#e6edf3", roleMuted: "#9aa7b5", roleGrid: "#2a313b", roleAxis: "#566170",
	roleTone + role(Blue): "#63a4ff", roleTone + role(Orange): "#f6ad55", roleTone + role(Green): "#5cc98a", roleTone + role(Red): "#ff7b72",
	roleTone + role(Violet): "#b794f4", roleTone + role(Teal): "#4fd1c5", roleTone + role(Gray): "#6b7685",
}

// colorName is the CSS custom property of a role.
func colorName(r role) string { return "--banter-c" + strconv.Itoa(int(r)) }

// colors writes a theme as CSS declarations.
func (t theme) colors() string {
	var b strings.Builder
	for r := range t {
		if t[r] != "" {
			b.WriteString(colorName(role(r)) + ":" + t[r] + ";")
		}
	}
	return b.String()
}

// svgStyle colors a picture that stands alone, by what its viewer prefers.
func svgStyle() string {
	return "svg{" + light.colors() + "}@media (prefers-color-scheme:dark){svg{" + dark.colors() + "}}"
}

const svgFont = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"

// SVG draws c as a picture that needs nothing else. It follows the viewer's preference for light or dark.
func SVG(c Chart) []byte { return []byte(layout(c).svg(svgStyle())) }

// inlineSVG draws c for a page that defines the colors.
func inlineSVG(c Chart) string { return layout(c).svg("") }

func (s *scene) svg(style string) string {
	var b strings.Builder
	b.Grow(16 << 10)
	w, h := coordinate(s.width), coordinate(s.height)
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ` + w + " " + h + `" width="` + w + `" height="` + h + `" role="img" font-family="` + svgFont + `">`)
	if s.title != "" {
		b.WriteString("<title>" + html.EscapeString(s.title) + "</title>")
	}
	if style != "" {
		b.WriteString("<style>" + style + "</style>")
	}
	for _, p := range s.shapes {
		p.svg(&b)
	}
	b.WriteString("</svg>")
	return b.String()
}

func (p *shape) svg(b *strings.Builder) {
	paint := func(property string) {
		b.WriteString(` style="` + property + ":var(" + colorName(p.role) + "," + light[p.role] + `)"`)
		if p.opacity < 1 {
			b.WriteString(` opacity="` + coordinate(p.opacity) + `"`)
		}
	}
	switch p.kind {
	case shapeRect:
		a, z := p.points[0], p.points[1]
		b.WriteString(`<rect x="` + coordinate(a.x) + `" y="` + coordinate(a.y) + `" width="` + coordinate(z.x-a.x) + `" height="` + coordinate(z.y-a.y) + `"`)
		paint("fill")
		if p.text != "" {
			b.WriteString("><title>" + html.EscapeString(p.text) + "</title></rect>")
			return
		}
	case shapeLine, shapeArea:
		b.WriteString(`<path d="`)
		for i, q := range p.points {
			if i == 0 {
				b.WriteByte('M')
			} else {
				b.WriteByte('L')
			}
			b.WriteString(coordinate(q.x) + " " + coordinate(q.y))
		}
		if p.kind == shapeArea {
			b.WriteString(`Z"`)
			paint("fill")
			break
		}
		b.WriteString(`" fill="none" stroke-width="` + coordinate(p.width) + `" stroke-linejoin="round"`)
		if lengths := p.dash.lengths(); lengths != nil {
			b.WriteString(` stroke-dasharray="`)
			for i, l := range lengths {
				if i > 0 {
					b.WriteByte(' ')
				}
				b.WriteString(coordinate(l))
			}
			b.WriteByte('"')
		}
		paint("stroke")
	case shapeDots:
		// A line of no length with round ends is a dot; one path holds them all.
		b.WriteString(`<path d="`)
		for _, q := range p.points {
			b.WriteString("M" + coordinate(q.x) + " " + coordinate(q.y) + "h0")
		}
		b.WriteString(`" fill="none" stroke-linecap="round" stroke-width="` + coordinate(2*p.width) + `"`)
		paint("stroke")
	case shapeText:
		q := p.points[0]
		b.WriteString(`<text`)
		if p.turned {
			b.WriteString(` transform="translate(` + coordinate(q.x) + " " + coordinate(q.y) + `) rotate(-90)"`)
		} else {
			b.WriteString(` x="` + coordinate(q.x) + `" y="` + coordinate(q.y) + `"`)
		}
		b.WriteString(` font-size="` + coordinate(p.size) + `"`)
		switch p.anchor {
		case 0.5:
			b.WriteString(` text-anchor="middle"`)
		case 1:
			b.WriteString(` text-anchor="end"`)
		}
		if p.bold {
			b.WriteString(` font-weight="600"`)
		}
		paint("fill")
		b.WriteString(">" + html.EscapeString(p.text) + "</text>")
		return
	}
	b.WriteString("/>")
}

// lengths are the pixels that a line is drawn and left out by turns; nil where it is unbroken.
func (d Dash) lengths() []float64 {
	switch d {
	case Dashed:
		return []float64{5, 4}
	case Dotted:
		return []float64{2, 3}
	case LongDashed:
		return []float64{10, 4}
	case DashDotted:
		return []float64{8, 3, 2, 3}
	case DashDotDotted:
		return []float64{8, 3, 2, 3, 2, 3}
	}
	return nil
}

// coordinate writes a number of pixels to a hundredth.
func coordinate(v float64) string {
	v = math.Round(v*100) / 100
	if v == 0 {
		v = 0 // no minus
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}
