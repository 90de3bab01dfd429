package align

import "math"

// features describe the content of one candidate pair. Each is near zero where nothing speaks for or against.
type features struct {
	v      [nFeatures]float64
	anchor float32 // seconds from the end of the last shared word to the end of the source; -1 where no word is shared
}

const (
	fOverlap     = iota // summed idf of shared words, 0..3
	fAssociation        // log ratio of the message's words given the source's, learned from the other folds
	fSemantic           // cosine of vectors fitted on the corpus, or of an embedder's
	fForm               // answer after question, question after question, numbers after numbers
	fAddress            // the speech names the author
	nFeatures
)

var partNames = [nFeatures]string{"overlap", "association", "semantic", "form", "address"}

// weights turn features into a log density ratio of true pairs over chance pairs.
type weights struct {
	bias float64
	b    [nFeatures]float64
}

func (w *weights) score(f *features) float64 {
	s := w.bias
	for i, v := range f.v {
		s += w.b[i] * v
	}
	return math.Max(-3, math.Min(8, s))
}

// features fills in the content of a target of track tr, whose vector is of, against a source of track from.
func (m *model) features(tr *track, t *target, of *vector, from *track, s *source, out *features) {
	c := m.c
	*out = features{anchor: -1}
	ids := tr.targetIDs(t)
	shared := 0.0
	for k := s.lo; k < s.hi; k++ {
		id := from.ids[k]
		for _, w := range ids {
			if w == id {
				shared += math.Max(0, c.idf[id]-1)
				if back := from.ends[k]; c.df[sources][id] < 0.15*c.docs[sources]+2 && (out.anchor < 0 || back < out.anchor) {
					out.anchor = back
				}
			}
		}
	}
	if c.opt.has("overlap") {
		out.v[fOverlap] = math.Min(3, shared/2)
	}
	if c.opt.has("association") {
		out.v[fAssociation] = m.textsFor(t).association(c, tr, t, from, s)
	}
	if c.embedded != nil {
		out.v[fSemantic] = c.embedded.cosine(tr, t, from, s)
	} else if c.opt.has("semantic") && m.vectors != nil {
		out.v[fSemantic] = m.vectors.cosine(of, ids, from, s)
	}
	if c.opt.has("form") && s.question {
		out.v[fForm] = 0.5
		if t.question {
			out.v[fForm] = -0.5
		}
	}
	if c.opt.has("address") && t.author >= 0 {
		out.v[fAddress] = m.textsFor(t).address(c, t, from, s)
	}
}
