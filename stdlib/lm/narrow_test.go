package lm_test

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"banter/internal/specimen"
	"banter/stdlib/lm"
)

// odd has matrices whose rows are no whole blocks of Q8_0.
var odd = lm.Config{Architecture: "llama", Layers: 2, Hidden: 48, Intermediate: 96, Heads: 2, KVHeads: 1, HeadDim: 24, Vocab: 640, TiedEmbeddings: true}

func TestNarrow(t *testing.T) {
	m, err := lm.Open(specimen.Random(t, odd, lm.F32))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	digest, err := m.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []lm.Type{lm.BF16, lm.Q8_0} {
		n, err := m.Narrow(t.Context(), kind)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := n.Digest(); err != nil || got != digest {
			t.Errorf("%v: digest %s, %v; the model's is %s", kind, got, err, digest)
		}
		if !slices.Equal(n.Weights.Names(), m.Weights.Names()) {
			t.Fatalf("%v: other tensors", kind)
		}
		for _, name := range n.Weights.Names() {
			got, _ := n.Weights.Tensor(name)
			was, _ := m.Weights.Tensor(name)
			want := kind
			switch {
			case len(was.Shape) == 1:
				want = lm.F32
			case kind == lm.Q8_0 && was.Columns() == 48: // one block and a half
				want = lm.F16
			}
			data, err := lm.Quantize(was.Float32(), want, was.Columns())
			if err != nil {
				t.Fatal(err)
			}
			if got.Type != want || !slices.Equal(got.Data, data) || !slices.Equal(got.Shape, was.Shape) {
				t.Errorf("%v: tensor %s is %v of %d bytes, not %v of %d", kind, name, got.Type, len(got.Data), want, len(data))
			}
		}
		if a, b := n.StoredBytes(), m.NarrowedBytes(kind); a != b || a >= m.StoredBytes() {
			t.Errorf("%v: %d bytes, foreseen were %d of %d", kind, a, b, m.StoredBytes())
		}
		if again := n.NarrowedBytes(kind); again != n.StoredBytes() {
			t.Errorf("%v: narrowed again it would be %d bytes, of %d", kind, again, n.StoredBytes())
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := m.Narrow(t.Context(), lm.Q4_K); err == nil || !strings.Contains(err.Error(), "BF16 or Q8_0") {
		t.Errorf("narrowed to Q4_K: %v", err)
	}
}

// TestNarrowNamesWhatIsNoNumber: a NaN would be hidden in a block of Q8_0.
func TestNarrowNamesWhatIsNoNumber(t *testing.T) {
	dir := specimen.Random(t, odd, lm.F32)
	path := filepath.Join(dir, "model.safetensors")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint32(b[len(b)-4*3:], math.Float32bits(float32(math.Inf(1)))) // in the last tensor by name
	head := 8 + int(binary.LittleEndian.Uint64(b))
	binary.LittleEndian.PutUint32(b[head+4*(5*48+7):], math.Float32bits(float32(math.NaN()))) // in the first: the embedding
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := lm.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Narrow(t.Context(), lm.Q8_0); err == nil || !strings.Contains(err.Error(), `"model.embed_tokens.weight" holds NaN at row 5, column 7`) {
		t.Error(err)
	}
}
