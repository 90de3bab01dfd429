package torch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// gpu is a card as NVIDIA's driver lists it.
type gpu struct {
	Class  string // "NVIDIA H200, compute 9.0"
	Memory int64  // bytes
}

// gpus lists the cards that a process started from here may use. No driver, no cards.
func gpus(ctx context.Context) ([]gpu, error) {
	out, err := exec.CommandContext(ctx, "nvidia-smi", "--query-gpu=name,compute_cap,memory.total", "--format=csv,noheader,nounits").Output()
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, nil // there is no driver, or it finds no card
	}
	return visible(parseGPUs(string(out)), os.LookupEnv)
}

func parseGPUs(text string) []gpu {
	var cards []gpu
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), ", ")
		if len(f) != 3 {
			continue
		}
		mib, err := strconv.ParseInt(f[2], 10, 64)
		if err != nil || mib <= 0 || mib > 1<<30 {
			continue
		}
		cards = append(cards, gpu{f[0] + ", compute " + f[1], mib << 20})
	}
	return cards
}

// visible leaves the cards that CUDA_VISIBLE_DEVICES leaves.
func visible(cards []gpu, lookup func(string) (string, bool)) ([]gpu, error) {
	list, ok := lookup("CUDA_VISIBLE_DEVICES")
	if !ok {
		return cards, nil
	}
	var left []gpu
	for _, s := range strings.Split(list, ",") {
		if s = strings.TrimSpace(s); s == "" || s == "-1" {
			break // CUDA sees none from here on
		}
		i, err := strconv.Atoi(s)
		if err != nil || i < 0 || i >= len(cards) {
			return nil, fmt.Errorf("CUDA_VISIBLE_DEVICES is %q, and there are %d cards (name them by number)", list, len(cards))
		}
		left = append(left, cards[i])
	}
	return left, nil
}

// place says where to train: on which class of device, and in how many processes.
func place(cards []gpu, o Options) (device, class string, processes int, memory int64, err error) {
	if o.Processes < 0 {
		return "", "", 0, 0, fmt.Errorf("%d processes (use 1 or more, or 0 for one on each card)", o.Processes)
	}
	switch o.Device {
	case "":
		device = "cpu"
		if len(cards) > 0 {
			device = "cuda"
		}
	case "cpu":
		device = "cpu"
	case "cuda":
		if len(cards) == 0 {
			return "", "", 0, 0, errors.New("no GPU is listed by nvidia-smi (install its driver, or train on the CPU)")
		}
		device = "cuda"
	default:
		return "", "", 0, 0, fmt.Errorf("no device %q (use cpu or cuda)", o.Device)
	}
	if device == "cpu" {
		return device, "cpu " + runtime.GOARCH, max(1, o.Processes), 0, nil
	}
	processes = o.Processes
	if processes == 0 {
		processes = len(cards)
	}
	if processes > len(cards) {
		return "", "", 0, 0, fmt.Errorf("%d processes on %d cards (use one on each at most)", processes, len(cards))
	}
	var classes []string
	memory = cards[0].Memory
	for _, c := range cards[:processes] {
		classes, memory = append(classes, c.Class), min(memory, c.Memory)
	}
	slices.Sort(classes)
	return device, strings.Join(slices.Compact(classes), " and "), processes, memory, nil
}
