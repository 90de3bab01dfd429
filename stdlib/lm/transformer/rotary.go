package transformer

import (
	"math"
	"sync"

	"banter/stdlib/lm"
)

// rotary gives the turns of rotary position embedding (RoFormer, arXiv:2104.09864).
type rotary struct {
	config lm.Config
	mu     sync.Mutex
	tables map[int]*turns // by the length that they were made for where that matters ("dynamic"), else under 0
}

// turns holds cosines and sines, [positions, head/2].
type turns struct {
	positions int
	cos, sin  []float32
}

// table returns turns for at least the given number of positions.
func (r *rotary) table(positions int) *turns {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, length := 0, positions
	if s := r.config.RopeScaling; s != nil && s.Type == "dynamic" && positions > r.config.MaxPositions {
		id = positions
	}
	if t := r.tables[id]; t != nil && t.positions >= positions {
		return t
	}
	if id == 0 { // leave room for a sequence that grows
		positions = (positions + 255) / 256 * 256
		length = 0
	}
	frequencies, amplitude := r.config.RotaryFrequencies(length)
	t := &turns{positions: positions, cos: make([]float32, positions*len(frequencies)), sin: make([]float32, positions*len(frequencies))}
	for p := range positions {
		for i, f := range frequencies {
			sin, cos := math.Sincos(float64(p) * f)
			t.cos[p*len(frequencies)+i], t.sin[p*len(frequencies)+i] = float32(cos*amplitude), float32(sin*amplitude)
		}
	}
	if r.tables == nil || len(r.tables) > 64 {
		r.tables = map[int]*turns{}
	}
	r.tables[id] = t
	return t
}

// apply turns a row of heads, [heads, head], by its position; with sign -1 back again, which is also the derivative's way.
func (t *turns) apply(row []float32, position, headDim int, sign float32) {
	half := headDim / 2
	cos, sin := t.cos[position*half:][:half], t.sin[position*half:][:half]
	for ; len(row) >= headDim; row = row[headDim:] {
		first, second := row[:half], row[half:headDim]
		for i, c := range cos {
			s := sin[i] * sign
			x, y := first[i], second[i]
			first[i] = float32(x*c) - float32(y*s)
			second[i] = float32(y*c) + float32(x*s)
		}
	}
}
