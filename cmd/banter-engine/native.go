//go:build native

package main

/*
#cgo pkg-config: whisper llama ggml
#cgo linux LDFLAGS: -ldl
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ggml.h>
#include <ggml-backend.h>
#include <llama.h>
#include <whisper.h>

// The libraries explain a refused model in their logs alone. The first error is kept for the answer to the client, since
// those after it follow from it; errors and warnings also go to standard error, debugging output nowhere.
static pthread_mutex_t error_lock = PTHREAD_MUTEX_INITIALIZER;
static char first_error[512];

static void keep_log(enum ggml_log_level level, const char *text, void *user) {
	(void)user;
	if (level == GGML_LOG_LEVEL_ERROR) {
		pthread_mutex_lock(&error_lock);
		if (!first_error[0]) snprintf(first_error, sizeof first_error, "%s", text);
		pthread_mutex_unlock(&error_lock);
	}
	if (level == GGML_LOG_LEVEL_ERROR || level == GGML_LOG_LEVEL_WARN) fputs(text, stderr);
}

static void take_logs(void) {
	ggml_log_set(keep_log, NULL);
	whisper_log_set(keep_log, NULL);
	llama_log_set(keep_log, NULL);
}

static void take_error(char *buf, size_t n) {
	pthread_mutex_lock(&error_lock);
	snprintf(buf, n, "%s", first_error);
	first_error[0] = 0;
	pthread_mutex_unlock(&error_lock);
}

// ggml's assertions end in abort(); the signal is left to the system so that the client sees what happened.
static void abort_is_fatal(void) { signal(SIGABRT, SIG_DFL); }

static const char *ggml_file(void) {
	Dl_info where;
	return dladdr((void *)ggml_version, &where) ? where.dli_fname : NULL;
}

static ggml_backend_get_features_t features_of(ggml_backend_reg_t reg) {
	return (ggml_backend_get_features_t)ggml_backend_reg_get_proc_address(reg, "ggml_backend_get_features");
}
static struct ggml_backend_feature *call_features(ggml_backend_get_features_t f, ggml_backend_reg_t reg) { return f(reg); }
*/
import "C"

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"banter/internal/worker"
	"banter/internal/worker/native"
)

func prepareSignals() { C.abort_is_fatal() }

// takeStdout returns standard output for the protocol alone, and sends whatever the libraries print there to standard
// error.
func takeStdout() (*os.File, error) {
	fd, err := syscall.Dup(1)
	if err != nil {
		return nil, fmt.Errorf("duplicate standard output: %w", err)
	}
	syscall.CloseOnExec(fd)
	if err := redirect(2, 1); err != nil {
		return nil, fmt.Errorf("redirect standard output: %w", err)
	}
	return os.NewFile(uintptr(fd), "protocol"), nil
}

var load sync.Once

// loadBackends makes ggml's plug-ins known; every use of a model comes after it. The plug-ins lie in $BANTER_GGML_BACKENDS,
// or near the ggml library, or where that library looks by itself.
func loadBackends() {
	load.Do(func() {
		C.take_logs()
		dirs := []string{os.Getenv("BANTER_GGML_BACKENDS")}
		if dirs[0] == "" {
			dirs = nil
			if file := C.ggml_file(); file != nil {
				dirs, _ = filepath.Glob(filepath.Join(filepath.Dir(C.GoString(file)), "ggml", "backends*")) // the pattern is well-formed
			}
		}
		for _, dir := range dirs {
			path := C.CString(dir)
			C.ggml_backend_load_all_from_path(path)
			C.free(unsafe.Pointer(path))
		}
		if C.ggml_backend_dev_count() == 0 {
			C.ggml_backend_load_all()
		}
		C.llama_backend_init()
	})
}

// takeError returns the first error that a library logged since the last call, or otherwise.
func takeError(otherwise string) string {
	var buf [512]C.char
	C.take_error(&buf[0], C.size_t(len(buf)))
	text := strings.TrimSpace(C.GoString(&buf[0]))
	// "whisper_model_load: invalid model data (bad magic)": the C function's name helps nobody.
	if name, rest, ok := strings.Cut(text, ": "); ok && !strings.ContainsAny(name, " /") {
		text = rest
	}
	if text == "" {
		return otherwise
	}
	return text
}

// describe says what this program is made of.
func describe() *native.Info {
	loadBackends()
	d := &native.Info{
		Whisper:  C.GoString(C.whisper_version()),
		Llama:    C.GoString(C.llama_version()),
		GGML:     C.GoString(C.ggml_version()),
		Backends: []native.Backend{},
		Devices:  []native.Device{},
	}
	for i := range C.ggml_backend_reg_count() {
		reg := C.ggml_backend_reg_get(i)
		b := native.Backend{Name: C.GoString(C.ggml_backend_reg_name(reg)), Features: []string{}}
		if get := C.features_of(reg); get != nil {
			for f := C.call_features(get, reg); f != nil && f.name != nil; f = (*C.struct_ggml_backend_feature)(unsafe.Add(unsafe.Pointer(f), unsafe.Sizeof(*f))) {
				name := C.GoString(f.name)
				switch value := C.GoString(f.value); value {
				case "0":
				case "1":
					b.Features = append(b.Features, name)
				default:
					b.Features = append(b.Features, name+"="+value)
				}
			}
		}
		d.Backends = append(d.Backends, b)
	}
	for i := range C.ggml_backend_dev_count() {
		dev := C.ggml_backend_dev_get(i)
		var free, total C.size_t
		C.ggml_backend_dev_memory(dev, &free, &total)
		kind := "accelerator"
		switch C.ggml_backend_dev_type(dev) {
		case C.GGML_BACKEND_DEVICE_TYPE_CPU:
			kind = "cpu"
		case C.GGML_BACKEND_DEVICE_TYPE_GPU:
			kind = "gpu"
		case C.GGML_BACKEND_DEVICE_TYPE_IGPU:
			kind = "integrated gpu"
		}
		d.Devices = append(d.Devices, native.Device{
			Name:        C.GoString(C.ggml_backend_dev_name(dev)),
			Description: C.GoString(C.ggml_backend_dev_description(dev)),
			Kind:        kind,
			MemoryFree:  uint64(free),
			MemoryTotal: uint64(total),
		})
	}
	return d
}

func info(context.Context, *worker.Request) (any, []byte, error) {
	return describe(), nil, nil
}

// threads is how many threads a call uses that asks for n.
func threads(n int) C.int {
	if n <= 0 {
		n = min(runtime.NumCPU(), 8)
	}
	return C.int(min(n, 256))
}
