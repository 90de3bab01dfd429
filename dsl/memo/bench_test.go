package memo

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// filled is a store of n steps with one object of size bytes each. BANTER_BENCH_ARTIFACTS and BANTER_BENCH_BYTES make it
// larger: 10000 and 2000000 make 20 GB.
func filled(b *testing.B, n, size int) *Store {
	b.Helper()
	for name, v := range map[string]*int{"BANTER_BENCH_ARTIFACTS": &n, "BANTER_BENCH_BYTES": &size} {
		if text := os.Getenv(name); text != "" {
			k, err := strconv.Atoi(text)
			if err != nil {
				b.Fatal(err)
			}
			*v = k
		}
	}
	s, err := Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.NewChaCha8([32]byte{1})
	text := make([]byte, size)
	if _, err := rng.Read(text); err != nil {
		b.Fatal(err)
	}
	for i := range n {
		binary.LittleEndian.PutUint64(text, uint64(i))
		_, _, err := s.Do(context.Background(), step("in", fmt.Sprint(i), "options", `{"window":12,"names":["a","b"]}`, "impl", string(Sum(nil))), func(_ context.Context, d *Draft) error {
			return d.Write("result.bin", func(w io.Writer) error { _, err := w.Write(text); return err })
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(n) * int64(size))
	return s
}

// heap reports the most memory in use while f runs, beyond what was in use before.
func heap(b *testing.B, f func()) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, most := m.HeapInuse, m.HeapInuse
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse)
			}
		}
	}()
	f()
	close(stop)
	<-stopped
	b.ReportMetric(float64(most-min(before, most))/1e6, "MB-heap")
}

func BenchmarkVerify(b *testing.B) {
	s := filled(b, 1000, 200_000)
	heap(b, func() {
		for b.Loop() {
			if r, err := s.Verify(context.Background()); err != nil || len(r.Wrong) > 0 {
				b.Fatal(r.Wrong, err)
			}
		}
	})
}

func BenchmarkGC(b *testing.B) {
	s := filled(b, 1000, 20_000)
	heap(b, func() {
		for b.Loop() {
			if _, err := s.GC(context.Background(), 1, true); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkKey(b *testing.B) {
	st := step("in", string(Sum(nil)), "impl", string(Sum(nil)), "options", `{"window":12}`, "seed", "1", "engine", "whisper 1.8")
	for b.Loop() {
		_ = st.Key()
	}
}

// BenchmarkFile is a look-up of a file's remembered checksum.
func BenchmarkFile(b *testing.B) {
	s, err := Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	path := b.TempDir() + "/in"
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o644); err != nil {
		b.Fatal(err)
	}
	time.Sleep(grain + 100*time.Millisecond) // until its looks are to be trusted
	for b.Loop() {
		if _, err := s.File(context.Background(), path); err != nil {
			b.Fatal(err)
		}
	}
}
