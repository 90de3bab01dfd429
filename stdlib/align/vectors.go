package align

import "math"

// vectorSize is the number of dimensions of the word vectors.
const vectorSize = 48

// vectors are word vectors fitted on the corpus itself by random indexing (Kanerva, Kristofersson and Holst 2000): each
// word has a fixed random direction, and a word's vector is the sum of the directions of the words that stand near it in
// the same message or utterance, weighed by how telling they are. Words used alike come to point alike. Nothing is learned
// across the two sides, so that a pair cannot vouch for itself.
type vectors struct {
	idf []float32
	v   []float32 // [token][vectorSize], unit length or zero
}

func newVectors(c *corpus) *vectors {
	n := len(c.vocab)
	x := &vectors{idf: make([]float32, n), v: make([]float32, n*vectorSize)}
	direction := make([][4]int16, n) // three places: sign in bit 15 … kept as +place+1 or -place-1
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
		x.idf[id] = float32(math.Max(0, c.idf(int32(id))))
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

// cosine compares two texts by the idf-weighted means of their words. Shared words count elsewhere and are left out.
func (x *vectors) cosine(a, b []int32) float64 {
	var sa, sb [vectorSize]float32
	sum := func(out *[vectorSize]float32, ids, others []int32) {
		for _, id := range ids {
			shared := false
			for _, o := range others {
				shared = shared || o == id
			}
			if shared {
				continue
			}
			w := x.idf[id]
			for k, v := range x.v[int(id)*vectorSize : int(id+1)*vectorSize] {
				out[k] += w * v
			}
		}
	}
	sum(&sa, a, b)
	sum(&sb, b, a)
	var dot, na, nb float64
	for k := range sa {
		dot += float64(sa[k]) * float64(sb[k])
		na += float64(sa[k]) * float64(sa[k])
		nb += float64(sb[k]) * float64(sb[k])
	}
	if na == 0 || nb == 0 {
		return 0
	}
	return dot / math.Sqrt(na*nb)
}

// hashString is FNV-1a.
func hashString(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
