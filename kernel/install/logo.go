package install

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
)

// The logo is a speech bubble with a sound's levels in it, on a grid of 64 by 64.
const logoSVG = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">
<path fill="#1f6f8b" d="M14 6h36a10 10 0 0 1 10 10v22a10 10 0 0 1-10 10H30L16 60V48h-2A10 10 0 0 1 4 38V16A10 10 0 0 1 14 6z"/>
<g fill="#fff"><rect x="14" y="22" width="6" height="10"/><rect x="24" y="15" width="6" height="24"/><rect x="34" y="19" width="6" height="16"/><rect x="44" y="24" width="6" height="6"/></g>
</svg>
`

var (
	bubble = color.NRGBA{0x1f, 0x6f, 0x8b, 0xff}
	levels = [][4]float64{{14, 22, 20, 32}, {24, 15, 30, 39}, {34, 19, 40, 35}, {44, 24, 50, 30}}
)

// logoPNG draws the logo at a size in pixels.
func logoPNG(size int) ([]byte, error) {
	const samples = 4 // in each direction of a pixel
	m := image.NewNRGBA(image.Rect(0, 0, size, size))
	for y := range size {
		for x := range size {
			var white, blue int
			for i := range samples * samples {
				px := (float64(x) + (float64(i%samples)+.5)/samples) * 64 / float64(size)
				py := (float64(y) + (float64(i/samples)+.5)/samples) * 64 / float64(size)
				switch {
				case inLevels(px, py):
					white++
				case inBubble(px, py):
					blue++
				}
			}
			if n := white + blue; n > 0 {
				mix := func(c uint8) uint8 { return uint8((255*white + int(c)*blue) / n) }
				m.SetNRGBA(x, y, color.NRGBA{mix(bubble.R), mix(bubble.G), mix(bubble.B), uint8(255 * n / (samples * samples))})
			}
		}
	}
	var b bytes.Buffer
	err := png.Encode(&b, m)
	return b.Bytes(), err
}

func inLevels(x, y float64) bool {
	for _, r := range levels {
		if x >= r[0] && x < r[2] && y >= r[1] && y < r[3] {
			return true
		}
	}
	return false
}

// inBubble is true inside a rounded box and the tail under it.
func inBubble(x, y float64) bool {
	if x >= 16 && x <= 30 && y >= 48 && y <= 60 && y <= 60-(x-16)*12/14 {
		return true
	}
	const left, top, right, bottom, radius = 4, 6, 60, 48, 10
	if x < left || x > right || y < top || y > bottom {
		return false
	}
	dx := max(left+radius-x, x-(right-radius), 0)
	dy := max(top+radius-y, y-(bottom-radius), 0)
	return dx*dx+dy*dy <= radius*radius
}
