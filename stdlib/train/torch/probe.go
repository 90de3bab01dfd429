package torch

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"banter/internal/problem"
	"banter/stdlib/train"
)

//go:embed probe.py
var probe []byte

// efficiency is the share of the speed of matrix products that is left of a whole step.
const efficiency = 0.3

// probeTime bounds the time that a probe may take, most of which is torch's own start.
const probeTime = time.Minute

// Duration says about how long a training will take here: it times matrix products in torch, in a process of some seconds.
// What is not yet installed is not timed: then it is 0. A real run can take half as long or twice, by the model's shape and
// the card's load.
func (e *Engine) Duration(ctx context.Context, f train.Forecast) (time.Duration, error) {
	python := e.python
	if python == "" {
		if e.Missing() != "" {
			return 0, nil
		}
		dir, err := EnvironmentDir()
		if err != nil {
			return 0, err
		}
		python = interpreter(dir)
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	command := exec.CommandContext(ctx, python, "-", e.kind, e.Precision, fmt.Sprint(e.threads(0)))
	command.Env = append(os.Environ(), environment...)
	command.Stdin = bytes.NewReader(probe)
	var said, errs bytes.Buffer
	command.Stdout, command.Stderr = &said, &errs
	fail := func(err error) (time.Duration, error) {
		return 0, &problem.Error{Op: "time torch", Path: python, Err: err, Fix: "see whether this interpreter can import torch and use the device"}
	}
	if err := command.Run(); err != nil {
		return fail(fmt.Errorf("%w: %s", err, lastLines(errs.String(), 3)))
	}
	speed, err := strconv.ParseFloat(strings.TrimSpace(said.String()), 64)
	if err != nil || !(speed > 0) || math.IsInf(speed, 0) {
		return fail(fmt.Errorf("it said %q", lastLines(said.String(), 1)))
	}
	return time.Duration(f.Operations / (efficiency * speed * float64(e.Processes)) * float64(time.Second)), nil
}
