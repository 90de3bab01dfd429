package dataset

import (
	"cmp"
	"fmt"

	"banter/stdlib/quality"
)

// Leak looks for what stands on both sides of the split.
type Leak struct {
	Similarity float64 // of texts that count as the same, by character trigrams; 0 means 0.8
	MinChars   int     // completions with shorter normal forms ("lol") are nobody's secret; 0 means 20
	Emotes     []string
	Drop       bool // leave out the training rows that leak
}

// Canonical is what is asked for with the defaults said aloud.
func (l Leak) Canonical() Leak {
	l.Similarity = cmp.Or(l.Similarity, 0.8)
	l.MinChars = cmp.Or(l.MinChars, 20)
	return l
}

// Leaks is what was found. All counts are of holdout rows.
type Leaks struct {
	Holdout     int           `json:"holdout"`     // rows held out
	Both        int           `json:"both"`        // prompt and completion have the same normal forms as a training row's
	Completions int           `json:"completions"` // completions long enough to tell that are nearly those of a training row
	Prompts     int           `json:"prompts"`     // prompts that are nearly those of a training row
	Dropped     int           `json:"dropped"`     // training rows left out
	Examples    []LeakExample `json:"examples"`
}

// LeakExample is a holdout row and a training row that is nearly the same.
type LeakExample struct {
	Holdout string `json:"holdout"` // row ids
	Train   string `json:"train"`
	What    string `json:"what"` // "both", "completion"
	Text    string `json:"text"` // of the holdout row's completion
}

// maxLeakExamples bounds the examples of a check.
const maxLeakExamples = 10

// CheckLeaks compares the two sides and gives back the rows, without the training rows that leak where that was asked
// for. A training row leaks when it has the prompt and the completion of a holdout row, or a completion long enough to
// tell that nearly is one of a holdout row: that is copypasta. Short answers on both sides are what a crowd says, and
// equal prompts alone are a question asked twice: they are counted at most.
func CheckLeaks(rows []Row, l Leak) ([]Row, Leaks, error) {
	l = l.Canonical()
	if !(l.Similarity > 0 && l.Similarity <= 1) || l.MinChars < 0 {
		return nil, Leaks{}, fmt.Errorf("check leaks: a similarity of %v and %d characters make no sense", l.Similarity, l.MinChars)
	}
	emotes := map[string]bool{}
	for _, e := range l.Emotes {
		emotes[e] = true
	}
	type side struct {
		row         int
		prompt, key string
	}
	var train, held []side
	for i := range rows {
		s := side{i, quality.Key(rows[i].Prompt(), emotes), quality.Key(rows[i].Completion(), emotes)}
		if rows[i].Split == Holdout {
			held = append(held, s)
		} else {
			train = append(train, s)
		}
	}
	texts := func(sides []side, prompt bool) []string {
		out := make([]string, len(sides))
		for i, s := range sides {
			switch {
			case prompt:
				out[i] = s.prompt
			case len([]rune(s.key)) >= l.MinChars:
				out[i] = s.key
			}
		}
		return out
	}
	found := Leaks{Holdout: len(held)}
	type exact struct{ prompt, key string }
	both := map[exact]int{}
	for _, s := range train {
		if _, ok := both[exact{s.prompt, s.key}]; !ok {
			both[exact{s.prompt, s.key}] = s.row
		}
	}
	prompts := quality.Nearest(texts(train, true), texts(held, true), l.Similarity)
	completions := quality.Nearest(texts(train, false), texts(held, false), l.Similarity)
	heldBoth := map[exact]bool{}
	for i, s := range held {
		if prompts[i] >= 0 {
			found.Prompts++
		}
		what, other := "", -1
		if completions[i] >= 0 {
			found.Completions++
			what, other = "completion", train[completions[i]].row
		}
		if t, ok := both[exact{s.prompt, s.key}]; ok {
			found.Both++
			heldBoth[exact{s.prompt, s.key}] = true
			what, other = "both", t
		}
		if other >= 0 && len(found.Examples) < maxLeakExamples {
			found.Examples = append(found.Examples, LeakExample{rows[s.row].ID, rows[other].ID, what, rows[s.row].Completion()})
		}
	}
	if !l.Drop {
		return rows, found, nil
	}
	near := quality.Nearest(texts(held, false), texts(train, false), l.Similarity)
	gone := map[int]bool{}
	for i, s := range train {
		if near[i] >= 0 || heldBoth[exact{s.prompt, s.key}] {
			gone[s.row] = true
		}
	}
	found.Dropped = len(gone)
	kept := make([]Row, 0, len(rows)-len(gone))
	for i := range rows {
		if !gone[i] {
			kept = append(kept, rows[i])
		}
	}
	return kept, found, nil
}
