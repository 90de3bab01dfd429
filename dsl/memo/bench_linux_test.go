package memo

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkDisk holds verify and gc against the disk, once however often it is asked to: cat reads all objects, verify reads and checks them, and cat reads
// them again, each after the files were dropped from the system's cache. Then gc looks at all steps and, at last, removes
// half of them. Rates are in MB/s; the memory is the most that the process ever had resident.
func BenchmarkDisk(b *testing.B) {
	s := filled(b, 1000, 200_000)
	u, err := s.Usage()
	if err != nil {
		b.Fatal(err)
	}
	before := resident(b)
	mb := float64(u.Bytes) / 1e6
	cat := func() float64 {
		b.Helper()
		drop(b, s)
		began := time.Now()
		cmd := exec.Command("sh", "-c", "find . -type f -print0 | xargs -0 cat >/dev/null")
		cmd.Dir = filepath.Join(s.Dir(), objectsDir)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		return mb / time.Since(began).Seconds()
	}
	first := cat()
	drop(b, s)
	began := time.Now()
	r, err := s.Verify(context.Background())
	if err != nil || len(r.Wrong) > 0 || r.Bytes != u.Bytes {
		b.Fatalf("%+v %v", r, err)
	}
	b.ReportMetric(mb/time.Since(began).Seconds(), "MB/s-verify")
	b.ReportMetric((first+cat())/2, "MB/s-cat")
	began = time.Now()
	if _, err := s.GC(context.Background(), -1, false); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(time.Since(began).Seconds(), "s-gc-nothing")
	began = time.Now()
	gone, err := s.GC(context.Background(), u.Bytes/2, false)
	if err != nil || gone.Left > u.Bytes/2 {
		b.Fatalf("%+v %v", gone, err)
	}
	b.ReportMetric(time.Since(began).Seconds(), "s-gc-half")
	b.ReportMetric(float64(gone.Manifests), "steps-removed")
	b.ReportMetric(resident(b)-before, "MB-more-resident")
	b.ReportMetric(resident(b), "MB-resident")
}

// drop makes the system forget the bytes of all objects that it holds in memory.
func drop(b *testing.B, s *Store) {
	b.Helper()
	unix.Sync()
	err := s.eachObject(func(path string, _ Digest, _ int64) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
	if err != nil {
		b.Fatal(err)
	}
}

// resident is the most memory that this process had resident so far, in MB.
func resident(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb / 1e3
		}
	}
	b.Fatal("the system does not say VmHWM")
	return 0
}
