package tokenizer

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// splitMix is the random source that testdata/golden.py has too (Steele et al., "Fast splittable pseudorandom number
// generators", 2014).
type splitMix uint64

func (s *splitMix) below(n int) int {
	*s += 0x9E3779B97F4A7C15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return int((z ^ z>>31) % uint64(n))
}

// corpus makes the 10,000 strings over which golden.json was recorded.
func corpus(t testing.TB) []string {
	t.Helper()
	f, err := os.Open("testdata/pieces.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var kinds [][]string // in the file's order
	dec := json.NewDecoder(f)
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	for dec.More() {
		if _, err := dec.Token(); err != nil {
			t.Fatal(err)
		}
		var kind []string
		if err := dec.Decode(&kind); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, kind)
	}
	r := splitMix(2026)
	out := make([]string, 10000)
	for i := range out {
		var b strings.Builder
		for range 1 + r.below(20) {
			k := r.below(len(kinds) + 1)
			if k < len(kinds) {
				b.WriteString(kinds[k][r.below(len(kinds[k]))])
				continue
			}
			c := r.below(0x110000 - 0x800)
			if c >= 0xD800 {
				c += 0x800
			}
			b.WriteRune(rune(c))
		}
		out[i] = b.String()
	}
	return out
}

// load reads a tokenizer that testdata or the repository holds.
func load(t testing.TB, path string) *Tokenizer {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if data, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	tok, err := FromJSON(data)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return tok
}

// TestAgainstHuggingFace encodes and decodes the corpus with each family's tokenizer and compares with what Hugging
// Face's tokenizers library made of it.
func TestAgainstHuggingFace(t *testing.T) {
	data, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden map[string]any
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	strs := corpus(t)
	sum := sha256.Sum256([]byte(strings.Join(strs, "\x00")))
	if hex.EncodeToString(sum[:]) != golden["corpus"] {
		t.Fatal("the corpus is not the one that golden.py made")
	}
	delete(golden, "corpus")
	elsewhere := map[string]string{
		"lm-micro/tokenizer.json":     "../../../testdata/models/lm-micro/tokenizer.json",
		"lm/moonshine-tokenizer.json": "../../../../shared/data/lm/moonshine-tokenizer.json",
	}
	if len(golden) < 16 {
		t.Fatalf("golden.json has %d tokenizers", len(golden))
	}
	for name, want := range golden {
		t.Run(name, func(t *testing.T) {
			path := "testdata/" + name
			if p, ok := elsewhere[name]; ok {
				path = p
				if _, err := os.Stat(path); err != nil {
					t.Skipf("%s is not here", path)
				}
			}
			tok := load(t, path)
			for i, w := range want.([]any) {
				h := sha256.New()
				for _, s := range strs[100*i : 100*i+100] {
					ids, err := tok.Encode(s, true)
					if err != nil {
						t.Fatal(err)
					}
					fmt.Fprintf(h, "%s\n%s\n%s\n", strings.Trim(fmt.Sprint(ids), "[]"), tok.Decode(ids, false), tok.Decode(ids, true))
				}
				if got := hex.EncodeToString(h.Sum(nil))[:16]; got != w {
					t.Errorf("strings %d to %d differ", 100*i, 100*i+99)
					if dir := os.Getenv("BANTER_TOKENIZER_DUMP"); dir != "" {
						dump(t, dir, name, tok, strs)
						return
					}
				}
			}
		})
	}
}

// dump writes what the tokenizer makes of each string, to be compared with the library's own answers.
func dump(t *testing.T, dir, name string, tok *Tokenizer, strs []string) {
	var out bytes.Buffer
	for _, s := range strs {
		ids, err := tok.Encode(s, true)
		if err != nil {
			t.Fatal(err)
		}
		line, err := json.Marshal([]any{s, ids, tok.Decode(ids, false), tok.Decode(ids, true)})
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(line, '\n'))
	}
	if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)+".jsonl"), out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestClassesOfAllCharacters holds every character's class against the library's.
func TestClassesOfAllCharacters(t *testing.T) {
	data, err := os.ReadFile("testdata/classes.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden map[string][][2]rune
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	for name, is := range map[string]func(rune) bool{
		`\p{L}`: func(r rune) bool { return classOf(r) == letter }, `\p{N}`: func(r rune) bool { return classOf(r) == number },
		`\s`: func(r rune) bool { return classOf(r) == space }, "digits": isDigit,
	} {
		ranges := golden[name]
		if len(ranges) < 5 {
			t.Fatalf("%s has %d ranges", name, len(ranges))
		}
		for r := rune(0); r <= 0x10FFFF; r++ {
			for len(ranges) > 0 && ranges[0][1] < r {
				ranges = ranges[1:]
			}
			if want := len(ranges) > 0 && ranges[0][0] <= r; is(r) != want && (r < 0xD800 || r > 0xDFFF) {
				t.Errorf("%U: %s is %v, want %v", r, name, is(r), want)
			}
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	tok := load(t, "testdata/qwen2.json.gz")
	strs := corpus(t)[:200]
	want := make([][]int, len(strs))
	for i, s := range strs {
		var err error
		if want[i], err = tok.Encode(s, false); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i, s := range strs {
				if got, err := tok.Encode(s, false); err != nil || !slices.Equal(got, want[i]) {
					t.Errorf("%q: %v, %v", s, got, err)
				}
			}
		})
	}
	wg.Wait()
}
