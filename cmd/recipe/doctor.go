package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"banter/internal/worker"
	"banter/internal/worker/native"
	"banter/stdlib/models"
)

// doctorCmd looks at this machine. It fails if something is missing that the main job cannot do without.
type doctorCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
	storeFlag
}

// finding is one thing that was looked at.
type finding struct {
	What    string `json:"what"`
	State   string `json:"state"` // "ok", "missing" (something works without it), "broken" (the main job does not)
	Found   string `json:"found"`
	Fix     string `json:"fix,omitempty"`
	Details any    `json:"details,omitempty"`
}

func (c *doctorCmd) Run(ctx context.Context, out io.Writer) error {
	findings := []finding{programFinding()}
	findings = append(findings, engineFindings(ctx)...)
	findings = append(findings, ffmpegFinding(ctx))
	findings = append(findings, modelFindings(ctx)...)
	findings = append(findings, storeFinding(c.dir()))
	broken := 0
	for _, f := range findings {
		if f.State == "broken" {
			broken++
		}
	}
	if c.JSON {
		if err := printJSON(out, findings); err != nil {
			return err
		}
	} else {
		for _, f := range findings {
			fmt.Fprintf(out, "%-8s %-16s %s\n", f.State, f.What, f.Found)
			if f.Fix != "" {
				fmt.Fprintf(out, "%25s -> %s\n", "", f.Fix)
			}
		}
	}
	if broken > 0 {
		return fmt.Errorf("%d of %d things are broken", broken, len(findings))
	}
	return nil
}

func programFinding() finding {
	version := "(devel)"
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		version = b.Main.Version
	}
	return finding{What: "recipe", State: "ok", Found: fmt.Sprintf("%s, %s, %s/%s, %d CPU cores", version, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())}
}

// engineFindings starts the native worker and asks what it is made of.
func engineFindings(ctx context.Context) []finding {
	path, err := worker.Find("")
	if err != nil {
		return []finding{{What: "native worker", State: "broken", Found: err.Error(), Fix: "run `make native`"}}
	}
	pool := worker.NewPool(worker.Options{Path: path})
	defer pool.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	raw, _, err := pool.Call(ctx, native.MethodInfo, nil, nil)
	if err != nil {
		return []finding{{What: "native worker", State: "broken", Found: err.Error(), Fix: "run `make native` again"}}
	}
	var info native.Info
	if err := json.Unmarshal(raw, &info); err != nil {
		return []finding{{What: "native worker", State: "broken", Found: err.Error(), Fix: "run `make native` again"}}
	}
	findings := []finding{{
		What: "native worker", State: "ok", Details: info,
		Found: fmt.Sprintf("%s: whisper.cpp %s, llama.cpp %s, ggml %s", path, info.Whisper, info.Llama, info.GGML),
	}}
	gpu := false
	for _, b := range info.Backends {
		findings = append(findings, finding{What: "backend " + b.Name, State: "ok", Found: strings.Join(b.Features, " ")})
	}
	for _, d := range info.Devices {
		gpu = gpu || strings.HasSuffix(d.Kind, "gpu")
		found := d.Kind + ": " + d.Description
		if d.MemoryTotal > 0 {
			found += fmt.Sprintf(", %.1f of %.1f GB free", float64(d.MemoryFree)/1e9, float64(d.MemoryTotal)/1e9)
		}
		findings = append(findings, finding{What: "device " + d.Name, State: "ok", Found: found})
	}
	if len(info.Devices) == 0 {
		findings = append(findings, finding{What: "devices", State: "broken", Found: "ggml found nothing to compute on",
			Fix: "name the folder of ggml's backends in $BANTER_GGML_BACKENDS"})
	}
	if !gpu {
		f := finding{What: "GPU", State: "missing", Found: "the native worker has no GPU backend; it computes on the CPU"}
		if _, err := exec.LookPath("nvidia-smi"); err == nil {
			f.Fix = "this machine has an NVIDIA driver: build ggml, whisper.cpp and llama.cpp with -DGGML_CUDA=ON, let pkg-config find them, and run `make native`"
		}
		findings = append(findings, f)
	}
	return findings
}

func ffmpegFinding(ctx context.Context) finding {
	f := finding{What: "ffmpeg", State: "missing", Found: "not found: WAV, FLAC, MP3 and Ogg are decoded without it, video and all else are not"}
	switch runtime.GOOS {
	case "darwin":
		f.Fix = "brew install ffmpeg"
	case "linux":
		f.Fix = "install the package ffmpeg, for example with sudo apt install ffmpeg"
	default:
		f.Fix = "install ffmpeg and add it to the path"
	}
	path, err := exec.LookPath("ffmpeg")
	if err != nil {
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	text, err := exec.CommandContext(ctx, path, "-version").Output()
	if err != nil {
		f.Found = path + " does not run: " + err.Error()
		return f
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	version, _, _ := strings.Cut(string(line), " Copyright")
	return finding{What: "ffmpeg", State: "ok", Found: path + ": " + version}
}

func modelFindings(ctx context.Context) []finding {
	var findings []finding
	dir, err := models.Dir()
	if err != nil {
		return []finding{{What: "models folder", State: "missing", Found: err.Error()}}
	}
	var here []string
	for _, e := range models.List() {
		_, there, err := models.Locate(e)
		switch {
		case err != nil:
			return []finding{{What: "models folder", State: "missing", Found: err.Error()}}
		case e.Shipped != "":
			f := finding{What: e.Name, State: "ok"}
			m, err := models.Resolve(ctx, e.Name)
			if err != nil {
				f.State, f.Found = "missing", err.Error()
				f.Fix = "only the demo and the tests need it"
			} else {
				f.Found = m.Path
			}
			findings = append(findings, f)
		case there:
			here = append(here, e.Name)
		}
	}
	f := finding{What: "models folder", State: "ok", Found: dir + ": " + strings.Join(here, ", ")}
	if len(here) == 0 {
		f.State, f.Found = "missing", dir+": no model was fetched yet"
		f.Fix = "for real speech: recipe models pull base.en silero-v6.2.0; to train: recipe models pull smollm2-135m-instruct"
	}
	return append(findings, f)
}

// storeFinding tries whether the store's folder can be written to.
func storeFinding(dir string) finding {
	f := finding{What: "store", State: "ok", Found: dir}
	// The store is made by its first run; until then the folder that it will stand in counts.
	at := dir
	for {
		info, err := os.Stat(at)
		if err == nil && !info.IsDir() {
			return finding{What: "store", State: "broken", Found: at + " is a file", Fix: "name another place with --store"}
		}
		if err == nil {
			break
		}
		up := filepath.Dir(at)
		if !errors.Is(err, os.ErrNotExist) || up == at {
			return finding{What: "store", State: "broken", Found: err.Error(), Fix: "name another place with --store"}
		}
		at = up
	}
	probe, err := os.CreateTemp(at, ".doctor-*")
	if err == nil {
		_, err = probe.WriteString("can this be written?")
		err = errors.Join(err, probe.Sync(), probe.Close(), os.Remove(probe.Name()))
	}
	if err != nil {
		return finding{What: "store", State: "broken", Found: err.Error(), Fix: "make room or give yourself the right to write there, or name another place with --store"}
	}
	if at != dir {
		f.Found += " (to be made by the first run)"
	}
	return f
}
