package transformer

import "fmt"

// Batch is a number of token sequences laid end to end. They do not see each other: attention stays within a sequence
// and positions start from 0 in each, so that nothing is padded.
type Batch struct {
	Tokens  []int32
	Lengths []int // of the sequences, in order; they add up to len(Tokens)
}

// Sequences makes a batch.
func Sequences(sequences ...[]int32) Batch {
	var b Batch
	for _, s := range sequences {
		b.Tokens = append(b.Tokens, s...)
		b.Lengths = append(b.Lengths, len(s))
	}
	return b
}

func (b Batch) check(vocabulary int) error {
	sum := 0
	for i, n := range b.Lengths {
		if n < 1 {
			return fmt.Errorf("sequence %d of the batch has %d tokens", i, n)
		}
		sum += n
	}
	if sum != len(b.Tokens) || sum == 0 {
		return fmt.Errorf("the batch has %d tokens in sequences of %d", len(b.Tokens), sum)
	}
	for i, t := range b.Tokens {
		if t < 0 || int(t) >= vocabulary {
			return fmt.Errorf("token %d of the batch is %d, the model knows 0 to %d", i, t, vocabulary-1)
		}
	}
	return nil
}

// longest returns the length of the longest sequence.
func (b Batch) longest() int {
	n := 0
	for _, l := range b.Lengths {
		n = max(n, l)
	}
	return n
}

// span is where one sequence lies in its batch.
type span struct{ from, to int }

func (b Batch) spans() []span {
	spans := make([]span, len(b.Lengths))
	at := 0
	for i, n := range b.Lengths {
		spans[i] = span{at, at + n}
		at += n
	}
	return spans
}

// targets returns the positions whose output predicts a labelled token: the one before each label of 0 or more that is
// not the first of its sequence.
func (b Batch) targets(labels []int32) []int {
	var rows []int
	for _, s := range b.spans() {
		for i := s.from + 1; i < s.to; i++ {
			if labels[i] >= 0 {
				rows = append(rows, i-1)
			}
		}
	}
	return rows
}
