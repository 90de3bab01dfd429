package lm

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestAConfigurationIsWrittenAsItIsRead: of every family, and of rotary scaling as GGUF stores it.
func TestAConfigurationIsWrittenAsItIsRead(t *testing.T) {
	files, err := filepath.Glob("transformer/testdata/*/config.json")
	if err != nil || len(files) < 9 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := ParseConfig(data)
		if err != nil {
			t.Fatal(err)
		}
		data, err = want.JSON(BF16)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		got, err := ParseConfig(data)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", path, err, got, want)
		}
	}
	llama := Config{Architecture: "llama", Layers: 16, Hidden: 2048, Intermediate: 8192, Heads: 32, KVHeads: 8, HeadDim: 64, Vocab: 128256, MaxPositions: 131072, NormEps: 1e-5,
		RopeTheta: 500000, RopeScaling: &RopeScaling{Type: "llama3", Factor: 32, LowFreqFactor: 1, HighFreqFactor: 4, OriginalMax: 8192}, TiedEmbeddings: true}
	plain, stored := llama, llama
	plain.RopeScaling, stored.RopeScaling = nil, &RopeScaling{Type: "factors", Factor: 1}
	scaled, _ := llama.RotaryFrequencies(1)
	unscaled, _ := plain.RotaryFrequencies(1)
	for i := range scaled {
		stored.RopeScaling.Factors = append(stored.RopeScaling.Factors, float64(float32(unscaled[i]/scaled[i])))
	}
	data, err := stored.JSON(F32)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseConfig(data); err != nil || !reflect.DeepEqual(got, llama) {
		t.Errorf("%v: %+v", err, got)
	}
	stored.RopeScaling.Factors[9] *= 1.3
	if _, err := stored.JSON(F32); err == nil || !strings.Contains(err.Error(), "rotary frequencies") {
		t.Error(err)
	}
	if _, err := llama.JSON(Q8_0); err == nil {
		t.Error("a folder of Q8_0")
	}
}
