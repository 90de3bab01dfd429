package align

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Embedder turns texts into vectors, one after another in one slice, width numbers each.
type Embedder interface {
	Embed(ctx context.Context, texts []string) (vectors []float32, width int, err error)
}

// embedded are vectors of whole utterances and messages by a model from outside. They stand in for [vectors]. Each is held
// in eight bits a number, which changes a cosine by less than 0.01.
type embedded struct {
	width  int
	v      []int8    // [text][width]
	length []float32 // [text]; 0 where a text says nothing

	utterances, messages [][]int32 // by track and index: the text, -1 where it has no vector
	toChat               bool      // utterances are sources
}

// embedTexts has the corpus's texts embedded, each once and in an order that does not depend on that of the streams.
func embedTexts(ctx context.Context, c *corpus) (*embedded, error) {
	e := &embedded{toChat: c.opt.Direction == SpeechToChat}
	number := map[string]int32{}
	each := func(visit func(track int, utterance, message int, text string)) {
		for k, tr := range c.tracks {
			for i, u := range tr.utts {
				visit(k, i, -1, tr.text(u.First, u.Last))
			}
			list := func(index int32, of class) {
				if of == plain || of == chatReply {
					visit(k, -1, int(index), tr.in.Messages[index].Text)
				}
			}
			if e.toChat {
				for i := range tr.tgt {
					list(tr.tgt[i].index, tr.tgt[i].class)
				}
			} else {
				for i := range tr.src {
					list(tr.src[i].index, plain)
				}
			}
		}
	}
	each(func(_, _, _ int, text string) {
		if text != "" {
			number[text] = 0
		}
	})
	texts := slices.Sorted(maps.Keys(number))
	for i, text := range texts {
		number[text] = int32(i)
	}
	for _, tr := range c.tracks {
		e.utterances = append(e.utterances, slices.Repeat([]int32{-1}, len(tr.utts)))
		e.messages = append(e.messages, slices.Repeat([]int32{-1}, len(tr.in.Messages)))
	}
	each(func(track, utterance, message int, text string) {
		switch id, ok := number[text]; {
		case !ok:
		case message < 0:
			e.utterances[track][utterance] = id
		default:
			e.messages[track][message] = id
		}
	})
	if len(texts) == 0 {
		return e, nil
	}
	v, width, err := c.opt.Embedder.Embed(ctx, texts)
	if err != nil {
		return nil, fmt.Errorf("embed %d texts: %w", len(texts), err)
	}
	if width < 1 || len(v) != width*len(texts) {
		return nil, fmt.Errorf("embed %d texts: %d numbers came back, %d to each", len(texts), len(v), width)
	}
	e.width = width
	return e, e.keep(v)
}

// keep takes off what is common to all texts, which tells nothing of one, and rounds what is left.
func (e *embedded) keep(v []float32) error {
	n := len(v) / e.width
	mean := make([]float64, e.width)
	for i, x := range v {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return errors.New("embed: a vector is no number")
		}
		mean[i%e.width] += float64(x) / float64(n)
	}
	e.v, e.length = make([]int8, len(v)), make([]float32, n)
	row := make([]float64, e.width)
	for i := range n {
		most, given := 0.0, 0.0
		for k := range row {
			x := float64(v[i*e.width+k])
			row[k] = x - mean[k]
			most = math.Max(most, math.Abs(row[k]))
			given = math.Max(given, math.Abs(x))
		}
		if most <= 1e-6*given || given == 0 { // what all texts say, or nothing
			continue
		}
		sum := 0
		for k, x := range row {
			q := int(math.Round(x / most * 127))
			e.v[i*e.width+k] = int8(q)
			sum += q * q
		}
		e.length[i] = float32(math.Sqrt(float64(sum)))
	}
	return nil
}

// cosine compares a target of track tr with a source of track from.
func (e *embedded) cosine(tr *track, t *target, from *track, s *source) float64 {
	a, b := e.messages, e.utterances
	if !e.toChat {
		a, b = b, a
	}
	i, j := a[tr.number][t.index], b[from.number][s.index]
	if i < 0 || j < 0 || e.length[i] == 0 || e.length[j] == 0 {
		return 0
	}
	x, y := e.v[int(i)*e.width:int(i+1)*e.width], e.v[int(j)*e.width:int(j+1)*e.width]
	dot := int64(0)
	for k := range x {
		dot += int64(x[k]) * int64(y[k])
	}
	return float64(dot) / (float64(e.length[i]) * float64(e.length[j]))
}
