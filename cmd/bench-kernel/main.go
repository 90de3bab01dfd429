// Command bench-kernel measures this kernel and ipykernel in one run, as Jupyter clients see them, and ends with one line
// of JSON. `make bench-kernel` prepares what it needs: bin/recipe and the environment in .venv.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
)

//go:embed measure.py
var measureScript []byte

// result is the last line.
type result struct {
	RoundtripMs          float64 `json:"roundtrip_ms"`           // a trivial cell, from request to idle
	ReadyMs              float64 `json:"ready_ms"`               // from the start of the process until it answers
	IpykernelRoundtripMs float64 `json:"ipykernel_roundtrip_ms"` // the same of ipykernel
	IpykernelReadyMs     float64 `json:"ipykernel_ready_ms"`
	Predicate1e6Ms       float64 `json:"predicate_1e6_ms"`     // a compiled predicate over a million pairs
	Predicate1e7Ms       float64 `json:"predicate_1e7_ms"`     // and over ten million
	Growth1000CellsMB    float64 `json:"growth_1000_cells_mb"` // resident memory after 1,000 filter cells, less before them
}

// cells are what measure.py runs.
type cells struct {
	Warm   []string `json:"warm"`
	Filter string   `json:"filter"`
}

func main() {
	runs := flag.Int("runs", 7, "starts of each kernel")
	roundtrips := flag.Int("roundtrips", 200, "trivial cells in each kernel")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *runs, *roundtrips); err != nil {
		fmt.Fprintln(os.Stderr, "bench-kernel:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, runs, roundtrips int) error {
	root, err := projectRoot()
	if err != nil {
		return err
	}
	program := filepath.Join(root, "bin", "recipe")
	python := filepath.Join(root, ".venv", "bin", "python")
	for path, fix := range map[string]string{program: "make build", python: "kernel/lab/lab.sh setup"} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w (run: %s)", err, fix)
		}
	}
	dir, err := os.MkdirTemp("", "bench-kernel-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if out, err := exec.CommandContext(ctx, program, "kernel", "install", "--prefix", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("install the kernel: %w\n%s", err, out)
	}
	streams := filepath.Join(root, "testdata", "streams")
	c := cells{
		Warm: []string{
			fmt.Sprintf("streams := Load(%q)", streams),
			fmt.Sprintf("pairs := Align(Words(streams, %q))", streams),
		},
		// A threshold of its own makes each cell a new step.
		Filter: "good := Filter(pairs, func(p Pair) bool { return p.Confidence > $X && len(p.Response) > 2 })\ngood",
	}
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	script, list := filepath.Join(dir, "measure.py"), filepath.Join(dir, "cells.json")
	for path, content := range map[string][]byte{script: measureScript, list: b} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "starting each kernel %d times, running %d trivial cells in each, then 1,100 filter cells\n", runs+1, roundtrips)
	cmd := exec.CommandContext(ctx, python, script, strconv.Itoa(runs), strconv.Itoa(roundtrips), list)
	cmd.Env = append(os.Environ(), "JUPYTER_PATH="+filepath.Join(dir, "share", "jupyter"), "JUPYTER_RUNTIME_DIR="+filepath.Join(dir, "runtime"),
		"XDG_STATE_HOME="+filepath.Join(dir, "state"), "BANTER_STORE="+filepath.Join(dir, "store"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("measure.py: %w\n%s", err, out)
	}
	var r result
	if err := json.Unmarshal(out, &r); err != nil {
		return fmt.Errorf("measure.py: %w\n%s", err, out)
	}
	if r.Predicate1e6Ms, r.Predicate1e7Ms, err = measurePredicate(); err != nil {
		return err
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n", line)
	return nil
}

// projectRoot is the nearest folder, from here upwards, with go.mod.
func projectRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod here or above: run this in the project")
		}
	}
}
