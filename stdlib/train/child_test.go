package train

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"banter/stdlib/lm"
)

// childVariable makes the test program train what its value says instead of testing: for what only a process of its own
// can show.
const childVariable = "BANTER_TRAIN_CHILD"

func TestMain(m *testing.M) {
	if said := os.Getenv(childVariable); said != "" {
		if err := beChild(said); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// childOrders is what a child is to train. It says "step N" after each step, and at the end its adapter's digest, its
// forecast and the most memory that it held.
type childOrders struct {
	Model, Plan, Holdout string
	Options              Options
	Machine              Machine
	Adapter              string // folder to write the adapter to; empty: none
}

type childResult struct {
	Digest       string
	ResumedAfter int
	Peak         int64 // bytes
	Forecast     Forecast
}

func beChild(said string) error {
	var o childOrders
	if err := json.Unmarshal([]byte(said), &o); err != nil {
		return err
	}
	m, err := lm.Open(o.Model)
	if err != nil {
		return err
	}
	defer m.Close()
	plan, err := ReadPlan(o.Plan)
	if err != nil {
		return err
	}
	var holdout *Plan
	if o.Holdout != "" {
		if holdout, err = ReadPlan(o.Holdout); err != nil {
			return err
		}
	}
	var out childResult
	if out.Forecast, err = NewForecast(m, plan, o.Options, o.Machine, holdout); err != nil {
		return err
	}
	o.Machine.Observe = func(r StepRecord, _ float64) { fmt.Println("step", r.Step) }
	r, err := Run(context.Background(), m, plan, o.Options, o.Machine, holdout)
	if err != nil {
		return err
	}
	if o.Adapter != "" {
		if err := r.Write(o.Adapter, m.Config); err != nil {
			return err
		}
	}
	out.Digest, out.ResumedAfter, out.Peak = r.Record.Adapter, r.Timing.ResumedAfter, peak()
	b, err := json.Marshal(out)
	fmt.Println(string(b))
	return err
}

// peak is the most memory that this process has held, where the system says.
func peak() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmHWM:" {
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// child starts a child. line is called with each line that it says, and may kill it.
func child(t *testing.T, o childOrders, line func(string, *os.Process)) (result childResult, killed bool) {
	t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), self)
	command.Env = append(os.Environ(), childVariable+"="+string(b))
	var errs strings.Builder
	command.Stderr = &errs
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	last := ""
	for scan := bufio.NewScanner(out); scan.Scan(); {
		last = scan.Text()
		if line != nil {
			line(last, command.Process)
		}
	}
	err = command.Wait()
	if command.ProcessState.ExitCode() < 0 {
		return childResult{}, true
	}
	if err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	if err := json.Unmarshal([]byte(last), &result); err != nil {
		t.Fatalf("the child says %q: %v", last, err)
	}
	return result, false
}

func writePlan(t *testing.T, p *Plan) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plan.parquet")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := WritePlan(f, p); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}
