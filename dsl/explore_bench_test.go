package dsl

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkExploreMillion is what Explore computes of a million pairs of ten streams.
func BenchmarkExploreMillion(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	pairs := make([]Pair, 1_000_000)
	for i := range pairs {
		c := r.Float64()
		pairs[i] = Pair{Stream: fmt.Sprint("s", i/100_000), Speech: "what is your favourite soup", Response: "onion", Confidence: c, FDR: 1 - c}
	}
	for b.Loop() {
		t := &Threshold{curve: newCurve(pairs)}
		t.edge = t.curve.start()
		t.picture("address", "kernel")
	}
}
