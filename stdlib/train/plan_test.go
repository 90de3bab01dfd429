package train

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// letters is a format of one token a byte: ">" before the prompt, "=" before the response and "." at its end.
type letters struct{ noTurn, nothing bool }

func (f letters) Encode(prompt, response string) ([]int32, []bool, error) {
	text := ">" + prompt + "=" + response + "."
	tokens, learn := make([]int32, len(text)), make([]bool, len(text))
	for i := range text {
		tokens[i] = int32(text[i])
		learn[i] = i > len(prompt)+1 && !f.nothing && !(f.noTurn && i == len(text)-1)
	}
	return tokens, learn, nil
}

func (letters) EndsTurn(token int32) bool { return token == '.' }

func TestPlanLabelsTheResponse(t *testing.T) {
	p, err := NewPlan(t.Context(), []Example{{"a", "hi", "yo"}}, letters{}, PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := Row{IDs: []string{"a"}, Tokens: []int32{'>', 'h', 'i', '=', 'y', 'o', '.'}, Labels: []int32{-100, -100, -100, -100, 'y', 'o', '.'}, Positions: []int32{0, 1, 2, 3, 4, 5, 6}}
	if !reflect.DeepEqual(p.Rows, []Row{want}) {
		t.Errorf("got %+v", p.Rows)
	}
}

func TestPlanRefusesWhatTeachesNothing(t *testing.T) {
	long := Example{"long", strings.Repeat("x", 50), "yo"}
	longer := Example{"longer", "x", strings.Repeat("y", 50)}
	for _, c := range []struct {
		name, want string
		examples   []Example
		format     Format
		options    PlanOptions
	}{
		{"nothing to learn", "a", []Example{{"a", "hi", "yo"}}, letters{nothing: true}, PlanOptions{}},
		{"no end of turn", "a", []Example{{"a", "hi", "yo"}}, letters{noTurn: true}, PlanOptions{}},
		{"too long", "long (55 tokens)", []Example{long}, letters{}, PlanOptions{MaxLength: 20}},
		{"response too long to cut", "longer (54 tokens)", []Example{long, longer}, letters{}, PlanOptions{MaxLength: 20, Truncate: true}},
		{"no examples", "no examples", nil, letters{}, PlanOptions{}},
	} {
		if _, err := NewPlan(t.Context(), c.examples, c.format, c.options); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want something about %q", c.name, err, c.want)
		}
	}
	p, err := NewPlan(t.Context(), []Example{long}, letters{}, PlanOptions{MaxLength: 20, Truncate: true})
	if err != nil {
		t.Fatal(err)
	}
	r := p.Rows[0]
	if len(r.Tokens) != 20 || r.Tokens[19] != '.' || r.Labels[17] != 'y' || r.Labels[16] != NotLearned || r.Positions[0] != 0 || r.Positions[19] != 19 || p.Truncated != 1 {
		t.Errorf("cut to %+v", r)
	}
}

func TestPackedRowsHoldEveryExampleOnce(t *testing.T) {
	var examples []Example
	for i := range 50 {
		examples = append(examples, Example{fmt.Sprint(i), strings.Repeat("p", i%9), strings.Repeat("r", 1+i%5)})
	}
	plain, err := NewPlan(t.Context(), examples, letters{}, PlanOptions{MaxLength: 40})
	if err != nil {
		t.Fatal(err)
	}
	packed, err := NewPlan(t.Context(), examples, letters{}, PlanOptions{MaxLength: 40, Pack: true, Seed: 4})
	if err != nil {
		t.Fatal(err)
	}
	if err := packed.Check(256); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, r := range packed.Rows {
		for _, id := range r.IDs {
			seen[id]++
		}
		if len(r.lengths()) != len(r.IDs) || len(r.Tokens) > 40 {
			t.Fatalf("a row of %d examples, %d sequences, %d tokens", len(r.IDs), len(r.lengths()), len(r.Tokens))
		}
	}
	if len(seen) != 50 || len(packed.Rows) > 20 {
		t.Errorf("%d examples in %d rows", len(seen), len(packed.Rows))
	}
	a, b := plain.Tokens()
	c, d := packed.Tokens()
	if a != c || b != d {
		t.Errorf("%d tokens, %d learned; packed %d and %d", a, b, c, d)
	}
	again, err := NewPlan(t.Context(), examples, letters{}, PlanOptions{MaxLength: 40, Pack: true, Seed: 4})
	if err != nil || again.Digest() != packed.Digest() {
		t.Errorf("the same seed packs otherwise: %v", err)
	}
}

func TestPlanFileReadsBack(t *testing.T) {
	p := randomPlan(3, 30, 48)
	p.Truncated = 2
	var first, second bytes.Buffer
	for _, w := range []*bytes.Buffer{&first, &second} {
		if err := WritePlan(w, p); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two writes of a plan differ")
	}
	if bytes.Contains(first.Bytes(), []byte("parquet-go")) {
		t.Error("the file names the build of the Parquet library")
	}
	path := filepath.Join(t.TempDir(), "plan.parquet")
	if err := os.WriteFile(path, first.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	back, err := ReadPlan(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, p) || back.Digest() != p.Digest() {
		t.Error("the plan reads back as another")
	}
}

func FuzzReadPlan(f *testing.F) {
	var b bytes.Buffer
	if err := WritePlan(&b, randomPlan(3, 4, 48)); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:b.Len()/2])
	f.Add([]byte("PAR1"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "plan.parquet")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		p, err := ReadPlan(path)
		if err == nil {
			// Whatever is read is either refused or whole.
			if p.Check(48) == nil {
				p.Digest()
				p.Tokens()
			}
		}
	})
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add([]byte(checkpointMagic))
	f.Add([]byte(checkpointMagic + strings.Repeat("0", 64) + "\n{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, factors, err := parseCheckpoint(data); err == nil && (s.Step < 1 || len(factors)%4 != 0) {
			t.Errorf("accepted step %d with %d bytes", s.Step, len(factors))
		}
	})
}
