//go:build native

// Banter-engine is the native worker: whisper.cpp and llama.cpp over one shared ggml. It speaks the protocol of
// internal/worker on its standard streams, and is started by the programs that need it, not by people; what it can be
// asked is in internal/worker/native.
//
// It is built by `make native`, which finds or fetches the libraries; without the tag that it sets the package is empty, so
// that all else builds and is tested where they are missing.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"

	"banter/internal/worker"
	"banter/internal/worker/native"
)

func main() {
	version := flag.Bool("version", false, "print the versions of the native libraries and exit")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "banter-engine speaks a framed protocol on its standard streams and is started by other programs.")
		flag.PrintDefaults()
	}
	flag.Parse()
	prepareSignals()
	if *version {
		info := describe()
		fmt.Printf("banter-engine %s: whisper.cpp %s, llama.cpp %s, ggml %s\n", build(), info.Whisper, info.Llama, info.GGML)
		return
	}
	out, err := takeStdout()
	if err != nil {
		fmt.Fprintln(os.Stderr, "banter-engine:", err)
		os.Exit(1)
	}
	handlers := map[string]worker.Handler{
		native.MethodInfo:       info,
		native.MethodTranscribe: transcribe,
		native.MethodVAD:        detectSpeech,
		native.MethodModel:      describeModel,
		native.MethodTokenize:   tokenize,
		native.MethodGenerate:   generate,
		native.MethodScore:      score,
		native.MethodEmbed:      embed,
		native.MethodQuantize:   quantize,
	}
	if err := worker.Serve(os.Stdin, out, worker.Engine, build(), handlers); err != nil {
		fmt.Fprintln(os.Stderr, "banter-engine:", err)
		os.Exit(1)
	}
	// The client is gone. Whatever still runs is for nobody.
	os.Exit(0)
}

// build names the source that this program was built from, as far as Go knows it.
func build() string {
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		return b.Main.Version
	}
	return "(devel)"
}
