package speech

import (
	"slices"
	"strings"
	"time"
	"unicode"
)

// Score compares a transcript with what was really said.
type Score struct {
	Words   int // spoken, by the reference
	Correct int // of them, recognised
	Sub     int // recognised as another word
	Ins     int // in the transcript but not spoken
	Del     int // spoken but not in the transcript

	// Over the correct words that have times on both sides:
	Timed            int           // how many these are
	StartErrorMedian time.Duration // of the absolute difference of the starts
	StartErrorP90    time.Duration
	Within100ms      float64 // share of the words whose starts differ by so much at most, 0..1
	Within200ms      float64
	Within500ms      float64
}

// WER is the word error rate, (Sub + Ins + Del) / Words. It can exceed 1.
func (s Score) WER() float64 {
	if s.Words == 0 {
		return 0
	}
	return float64(s.Sub+s.Ins+s.Del) / float64(s.Words)
}

// Right is the share of the spoken words that were recognised.
func (s Score) Right() float64 {
	if s.Words == 0 {
		return 0
	}
	return float64(s.Correct) / float64(s.Words)
}

// WER is the word error rate of hypothesis against reference, both running texts.
func WER(reference, hypothesis string) float64 {
	words := func(text string) []Word {
		var w []Word
		for _, f := range strings.Fields(text) {
			w = append(w, Word{Text: f})
		}
		return w
	}
	return Compare(&Transcript{Words: words(hypothesis)}, words(reference)).WER()
}

// Compare scores t against the words that were really said. Words are compared without regard to case and punctuation;
// what is punctuation alone is no word. The alignment of the two sequences is one with the fewest substitutions, insertions
// and deletions (Levenshtein distance on words); among those it takes one that pairs words close in time.
func Compare(t *Transcript, reference []Word) Score {
	ref, hyp := plainWords(reference), plainWords(t.Words)
	s := Score{Words: len(ref)}
	var errors []time.Duration
	for _, step := range alignWords(ref, hyp) {
		switch {
		case step.hyp < 0:
			s.Del++
		case step.ref < 0:
			s.Ins++
		case ref[step.ref].plain != hyp[step.hyp].plain:
			s.Sub++
		default:
			s.Correct++
			if r, h := ref[step.ref].word, hyp[step.hyp].word; r.Timed && h.Timed {
				errors = append(errors, (h.Start - r.Start).Abs())
			}
		}
	}
	s.Timed = len(errors)
	if len(errors) == 0 {
		return s
	}
	slices.Sort(errors)
	s.StartErrorMedian = errors[len(errors)/2]
	s.StartErrorP90 = errors[min(len(errors)*9/10, len(errors)-1)]
	within := func(d time.Duration) float64 {
		n, _ := slices.BinarySearch(errors, d+1)
		return float64(n) / float64(len(errors))
	}
	s.Within100ms, s.Within200ms, s.Within500ms = within(100*time.Millisecond), within(200*time.Millisecond), within(500*time.Millisecond)
	return s
}

// plainWord is a word beside its form for comparisons.
type plainWord struct {
	plain string
	word  Word
}

func plainWords(words []Word) []plainWord {
	var out []plainWord
	for _, w := range words {
		if p := plain(w.Text); p != "" {
			out = append(out, plainWord{p, w})
		}
	}
	return out
}

// plain is a word in lower case without punctuation.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, text)
}

// wordStep pairs a word of one sequence with one of another; -1 stands for none.
type wordStep struct{ ref, hyp int }

// alignBand is how far, in words, an alignment may stray from the diagonal beyond what the lengths differ by. Sequences
// of hours would otherwise take gigabytes.
const alignBand = 2000

// alignWords returns the steps of a best alignment, in order.
func alignWords(ref, hyp []plainWord) []wordStep {
	n, m := len(ref), len(hyp)
	band := alignBand + max(n-m, m-n)
	width := min(2*band+1, m+1)
	lo := func(i int) int { // first column of row i
		return min(max(0, i*m/max(n, 1)-band), m+1-width)
	}
	// One substitution costs as much as any number of seconds does not: times only break ties.
	const edit = int64(1) << 32
	cost := func(i, j int) int64 {
		if ref[i].plain != hyp[j].plain {
			return edit
		}
		return min((ref[i].word.Start - hyp[j].word.Start).Abs().Milliseconds(), 10_000)
	}
	const far = int64(1) << 62
	const (
		pair byte = iota
		skipRef
		skipHyp
	)
	moves := make([]byte, (n+1)*width)
	prev, cur := make([]int64, width), make([]int64, width)
	for i := 0; i <= n; i++ {
		base := lo(i)
		before := base
		if i > 0 {
			before = lo(i - 1)
		}
		at := func(row []int64, base, j int) int64 {
			if j < base || j >= base+width {
				return far
			}
			return row[j-base]
		}
		for j := base; j < base+width; j++ {
			best, move := far, pair
			if i == 0 && j == 0 {
				best = 0
			}
			if i > 0 && j > 0 {
				if v := at(prev, before, j-1); v < far && v+cost(i-1, j-1) < best {
					best, move = v+cost(i-1, j-1), pair
				}
			}
			if i > 0 {
				if v := at(prev, before, j); v < far && v+edit < best {
					best, move = v+edit, skipRef
				}
			}
			if j > base {
				if v := cur[j-1-base]; v < far && v+edit < best {
					best, move = v+edit, skipHyp
				}
			}
			cur[j-base] = best
			moves[i*width+j-base] = move
		}
		prev, cur = cur, prev
	}
	var steps []wordStep
	for i, j := n, m; i > 0 || j > 0; {
		switch moves[i*width+j-lo(i)] {
		case pair:
			i, j = i-1, j-1
			steps = append(steps, wordStep{i, j})
		case skipRef:
			i--
			steps = append(steps, wordStep{i, -1})
		default:
			j--
			steps = append(steps, wordStep{-1, j})
		}
	}
	slices.Reverse(steps)
	return steps
}
