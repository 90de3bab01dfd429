package align

import (
	"math"
	"slices"
)

// vectorSize is the number of dimensions of the word vectors.
const vectorSize = 48

// vectors are word vectors fitted on the corpus itself by random indexing (Kanerva, Kristofersson and Holst 2000): each
// word has a fixed random direction, and a word's vector is the sum of the directions of the words that stand near it in
// the same message or utterance, weighed by how telling they are. Words used alike come to point alike. Nothing is learned
// across the two sides, so that a pair cannot vouch for itself.
type vectors struct {
	idf []float32
	v   []float32 // [token][vectorSize], unit length or zero

	sources [][]vector // by track and source
}

func newVectors(c *corpus) *vectors {
	n := len(c.vocab)
	x := &vectors{idf: make([]float32, n), v: make([]float32, n*vectorSize)}
	direction := make([][4]int16, n) // by token: places of ±1, as place+1 or -place-1
	for word, id := range c.vocab {
		h := splitmix(hashString(word) ^ uint64(c.opt.Seed))
		for k := range direction[id] {
			r := h.next()
			place := int16(r%vectorSize) + 1
			if r>>32&1 == 1 {
				place = -place
			}
			direction[id][k] = place
		}
	}
	for id := range n {
		x.idf[id] = float32(math.Max(0, c.idf[id]))
	}
	run := func(ids []int32) {
		for i, a := range ids {
			row := x.v[int(a)*vectorSize : int(a+1)*vectorSize]
			for j, b := range ids {
				if i == j || i-j > 5 || j-i > 5 {
					continue
				}
				w := x.idf[b]
				for _, p := range direction[b] {
					if p > 0 {
						row[p-1] += w
					} else {
						row[-p-1] -= w
					}
				}
			}
		}
	}
	for _, tr := range c.tracks {
		for i := range tr.src {
			run(tr.sourceIDs(&tr.src[i]))
		}
		for i := range tr.tgt {
			if tr.tgt[i].class == plain {
				run(tr.targetIDs(&tr.tgt[i]))
			}
		}
	}
	// what is common to all words says nothing: take the mean direction off
	mean := make([]float64, vectorSize)
	rows := 0.0
	for id := range n {
		row := x.v[id*vectorSize : (id+1)*vectorSize]
		if unit(row) {
			rows++
			for k, v := range row {
				mean[k] += float64(v)
			}
		}
	}
	for id := range n {
		row := x.v[id*vectorSize : (id+1)*vectorSize]
		empty := true
		for _, v := range row {
			empty = empty && v == 0
		}
		if empty {
			continue
		}
		for k := range row {
			row[k] -= float32(mean[k] / rows)
		}
		unit(row)
	}
	for _, tr := range c.tracks {
		sums := make([]vector, len(tr.src))
		for i := range tr.src {
			x.sum(tr.sourceIDs(&tr.src[i]), &sums[i])
		}
		x.sources = append(x.sources, sums)
	}
	return x
}

// unit makes a vector unit length; it says false for zero.
func unit(v []float32) bool {
	n := 0.0
	for _, x := range v {
		n += float64(x) * float64(x)
	}
	if n == 0 {
		return false
	}
	s := float32(1 / math.Sqrt(n))
	for i := range v {
		v[i] *= s
	}
	return true
}

// vector is the idf-weighted sum of a text's word vectors.
type vector [vectorSize]float32

// sum adds up the words of a text.
func (x *vectors) sum(ids []int32, out *vector) {
	*out = vector{}
	for _, id := range ids {
		x.add(out, id, x.idf[id])
	}
}

func (x *vectors) add(out *vector, id int32, w float32) {
	for k, v := range x.v[int(id)*vectorSize : int(id+1)*vectorSize] {
		out[k] += w * v
	}
}

// cosine compares a target, its words and their sum, with a source. Shared words count elsewhere and are left out.
func (x *vectors) cosine(of *vector, ids []int32, from *track, s *source) float64 {
	a, b := *of, x.sources[from.number][s.number]
	for _, id := range ids {
		if slices.Contains(from.sourceIDs(s), id) {
			x.add(&a, id, -x.idf[id])
			x.add(&b, id, -x.idf[id])
		}
	}
	var dot, na, nb float32
	for k := range a {
		dot += a[k] * b[k]
		na += a[k] * a[k]
		nb += b[k] * b[k]
	}
	if na < 1e-6 || nb < 1e-6 { // nothing but shared words, up to rounding
		return 0
	}
	return float64(dot) / math.Sqrt(float64(na)*float64(nb))
}

// hashString is FNV-1a.
func hashString(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
