package transformer

import (
	"math"
	"testing"
)

func TestContinuationsScoreAsTheWholePassDoes(t *testing.T) {
	for _, name := range []string{"llama", "mistral", "qwen2", "qwen3", "smollm3"} {
		t.Run(name, func(t *testing.T) {
			g := loadGolden(t, name)
			m, err := New(g.base, Options{Workers: 3})
			if err != nil {
				t.Fatal(err)
			}
			if err := m.SetAdapter(g.adapter); err != nil {
				t.Fatal(err)
			}
			tokens := g.batch.Tokens[:g.batch.Lengths[0]]
			vocab := int32(g.base.Config.Vocab)
			const prompt = 4
			last := tokens[prompt-1]
			continuations := [][]int32{append([]int32{last}, tokens[prompt:]...), {last, (tokens[prompt] + 1) % vocab}, {last}, {last, 3 % vocab, 5 % vocab, 3 % vocab}}
			d := m.Decoder()
			if _, err := d.Append(t.Context(), tokens[:prompt-1]); err != nil {
				t.Fatal(err)
			}
			got, err := d.LogProbs(t.Context(), continuations...)
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range continuations {
				whole := append(append([]int32{}, tokens[:prompt]...), c[1:]...)
				want, err := m.LogProbs(t.Context(), Sequences(whole), whole)
				if err != nil {
					t.Fatal(err)
				}
				if len(got[i]) != len(c)-1 {
					t.Fatalf("continuation %d has %d scores", i, len(got[i]))
				}
				for j, x := range got[i] {
					if math.Abs(x-want[prompt+j]) > 2e-5 {
						t.Errorf("continuation %d, token %d: %v, want %v", i, j, x, want[prompt+j])
					}
				}
			}
			if d.Len() != prompt-1 {
				t.Errorf("the decoder has read %d tokens after scoring", d.Len())
			}
		})
	}
}
