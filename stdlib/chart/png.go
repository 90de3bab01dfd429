package chart

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"strconv"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/f64"
	"golang.org/x/image/math/fixed"

	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/vector"
)

// pngScale is how many pixels of the picture stand for one of the chart: sharp on dense screens.
const pngScale = 2

// PNG draws c in light colors, at twice its size in pixels.
func PNG(c Chart) ([]byte, error) { return layout(c).png(light) }

// PNGDark draws c in dark colors.
func PNGDark(c Chart) ([]byte, error) { return layout(c).png(dark) }

// canvas paints shapes into an image.
type canvas struct {
	img   *image.RGBA
	theme theme
	fonts map[bool]*opentype.Font
	faces map[faceKey]font.Face
	r     vector.Rasterizer
}

type faceKey struct {
	size float64
	bold bool
}

func (s *scene) png(t theme) ([]byte, error) {
	w, h := int(s.width*pngScale), int(s.height*pngScale)
	c := &canvas{img: image.NewRGBA(image.Rect(0, 0, w, h)), theme: t, fonts: map[bool]*opentype.Font{}, faces: map[faceKey]font.Face{}}
	for bold, ttf := range map[bool][]byte{false: goregular.TTF, true: gobold.TTF} {
		f, err := opentype.Parse(ttf)
		if err != nil {
			return nil, err
		}
		c.fonts[bold] = f
	}
	for _, p := range s.shapes {
		if err := c.shape(&p); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, c.img); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func (c *canvas) color(p *shape) color.Color {
	v, err := strconv.ParseUint(c.theme[p.role][1:], 16, 32)
	if err != nil {
		v = 0
	}
	return color.NRGBA{R: uint8(v >> 16), G: uint8(v >> 8), B: uint8(v), A: uint8(math.Round(255 * p.opacity))}
}

// outline is a closed polygon, in pixels of the picture.
type outline []point

// fill paints outlines as one area, so that they do not darken where they overlap. Only the pixels around them are touched.
func (c *canvas) fill(p *shape, outlines ...outline) {
	low, high := point{math.Inf(1), math.Inf(1)}, point{math.Inf(-1), math.Inf(-1)}
	for _, o := range outlines {
		for _, q := range o {
			low = point{math.Min(low.x, q.x), math.Min(low.y, q.y)}
			high = point{math.Max(high.x, q.x), math.Max(high.y, q.y)}
		}
	}
	if !(low.x <= high.x) {
		return
	}
	b := image.Rect(int(math.Floor(low.x)), int(math.Floor(low.y)), int(math.Ceil(high.x))+1, int(math.Ceil(high.y))+1).Intersect(c.img.Bounds())
	if b.Empty() {
		return
	}
	c.r.Reset(b.Dx(), b.Dy())
	for _, o := range outlines {
		for i, q := range o {
			x, y := float32(q.x-float64(b.Min.X)), float32(q.y-float64(b.Min.Y))
			if i == 0 {
				c.r.MoveTo(x, y)
			} else {
				c.r.LineTo(x, y)
			}
		}
		c.r.ClosePath()
	}
	c.r.Draw(c.img, b, image.NewUniform(c.color(p)), image.Point{})
}

func scaled(points []point) []point {
	out := make([]point, len(points))
	for i, p := range points {
		out[i] = point{p.x * pngScale, p.y * pngScale}
	}
	return out
}

func (c *canvas) shape(p *shape) error {
	points := scaled(p.points)
	switch p.kind {
	case shapeRect:
		a, z := points[0], points[1]
		c.fill(p, outline{a, {z.x, a.y}, z, {a.x, z.y}})
	case shapeArea:
		c.fill(p, points)
	case shapeDots:
		for _, q := range points {
			c.dot(p, q, p.width*pngScale)
		}
	case shapeLine:
		c.stroke(p, points)
	case shapeText:
		return c.text(p, points[0])
	}
	return nil
}

// dot paints one circle.
func (c *canvas) dot(p *shape, at point, radius float64) {
	circle := make(outline, 24)
	for i := range circle {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(len(circle)))
		circle[i] = point{at.x + radius*cos, at.y + radius*sin}
	}
	c.fill(p, circle)
}

// stroke paints a line as one quadrilateral a segment, each a little long so that corners close. A dash goes on from one
// segment to the next.
func (c *canvas) stroke(p *shape, points []point) {
	half := p.width * pngScale / 2
	lengths := p.dash.lengths()
	drawn, left := 0, math.Inf(1) // which of lengths the line is in, and how much of it is left
	if lengths != nil {
		left = lengths[0] * pngScale
	}
	var outlines []outline
	for i := 1; i < len(points); i++ {
		a, z := points[i-1], points[i]
		length := math.Hypot(z.x-a.x, z.y-a.y)
		if length == 0 {
			continue
		}
		dx, dy := (z.x-a.x)/length, (z.y-a.y)/length
		extra := half * 0.5
		if lengths != nil {
			extra = 0
		}
		for from := 0.0; from < length; {
			to := math.Min(from+left, length)
			if drawn%2 == 0 {
				s := point{a.x + dx*(from-extra), a.y + dy*(from-extra)}
				e := point{a.x + dx*(to+extra), a.y + dy*(to+extra)}
				nx, ny := -dy*half, dx*half
				outlines = append(outlines, outline{{s.x + nx, s.y + ny}, {e.x + nx, e.y + ny}, {e.x - nx, e.y - ny}, {s.x - nx, s.y - ny}})
			}
			if left -= to - from; left <= 1e-9 {
				drawn = (drawn + 1) % len(lengths)
				left = lengths[drawn] * pngScale
			}
			from = to
		}
	}
	// Quadrilaterals of one line turn the same way round, so overlaps add up to inside, not to outside.
	c.fill(p, outlines...)
}

func (c *canvas) face(size float64, bold bool) (font.Face, error) {
	k := faceKey{size, bold}
	if f, ok := c.faces[k]; ok {
		return f, nil
	}
	f, err := opentype.NewFace(c.fonts[bold], &opentype.FaceOptions{Size: size * pngScale, DPI: 72, Hinting: font.HintingNone})
	if err != nil {
		return nil, err
	}
	c.faces[k] = f
	return f, nil
}

func (c *canvas) text(p *shape, at point) error {
	f, err := c.face(p.size, p.bold)
	if err != nil {
		return err
	}
	text := strings.ReplaceAll(p.text, "\u202f", " ") // the font has no narrow space
	width := float64(font.MeasureString(f, text)) / 64
	ink := image.NewUniform(c.color(p))
	if !p.turned {
		d := font.Drawer{Dst: c.img, Src: ink, Face: f, Dot: fixed.Point26_6{X: fixed.Int26_6((at.x - p.anchor*width) * 64), Y: fixed.Int26_6(at.y * 64)}}
		d.DrawString(text)
		return nil
	}
	// Written level on a sheet of its own, then turned a quarter to read upwards.
	m := f.Metrics()
	ascent, descent := m.Ascent.Ceil(), m.Descent.Ceil()
	sheet := image.NewRGBA(image.Rect(0, 0, int(width)+2, ascent+descent))
	d := font.Drawer{Dst: sheet, Src: ink, Face: f, Dot: fixed.P(0, ascent)}
	d.DrawString(text)
	x, y := math.Round(at.x)-float64(ascent), math.Round(at.y)+p.anchor*width
	xdraw.NearestNeighbor.Transform(c.img, f64.Aff3{0, 1, x, -1, 0, y}, sheet, sheet.Bounds(), draw.Over, nil)
	return nil
}
