//go:build unix

package train

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestAKilledRunGoesOnToTheSameBytes kills the training process (signal 9) behind a random step, twenty times for each
// number of workers, and lets another process go on from its checkpoints.
func TestAKilledRunGoesOnToTheSameBytes(t *testing.T) {
	kills := 20
	if testing.Short() {
		kills = 1
	}
	o := childOrders{Model: tinyModel, Plan: writePlan(t, randomPlan(1, 20, 48)), Holdout: writePlan(t, randomPlan(2, 5, 48)), Options: tinyOptions,
		Adapter: filepath.Join(t.TempDir(), "whole")}
	o.Options.EarlyStop = 100 // so that checkpoints hold the best adapter too
	want, _ := child(t, o, nil)
	files := func(dir string) map[string]string {
		found := map[string]string{}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			found[e.Name()] = string(b)
		}
		return found
	}
	whole := files(o.Adapter)
	rng := rand.New(rand.NewPCG(20, 20))
	for _, workers := range []int{1, 2, 5} {
		resumed := 0
		for range kills {
			at := fmt.Sprint("step ", 1+rng.IntN(tinyOptions.Steps-1))
			o.Machine = Machine{Workers: workers, CheckpointDir: t.TempDir(), CheckpointEvery: 1 + rng.IntN(4), Recompute: rng.IntN(2) == 1}
			o.Adapter = filepath.Join(t.TempDir(), "again")
			if _, killed := child(t, o, func(line string, p *os.Process) {
				if line == at {
					if err := p.Kill(); err != nil {
						t.Error(err)
					}
				}
			}); !killed {
				t.Fatalf("%d workers: the process outlived its kill behind %s", workers, at)
			}
			got, killed := child(t, o, nil)
			if killed || got.Digest != want.Digest {
				t.Fatalf("%d workers, killed behind %s: another adapter", workers, at)
			}
			for name, b := range files(o.Adapter) {
				if b != whole[name] {
					t.Fatalf("%d workers, killed behind %s: other bytes in %s", workers, at, name)
				}
			}
			if got.ResumedAfter > 0 {
				resumed++
			}
		}
		if resumed == 0 && !testing.Short() {
			t.Errorf("%d workers: no run went on from a checkpoint", workers)
		}
	}
}
