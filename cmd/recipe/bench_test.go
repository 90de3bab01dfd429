package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// BenchmarkNoOpRun is a second run of a recipe over 1,000 streams: the whole process, from its start to its end.
func BenchmarkNoOpRun(b *testing.B) {
	const streams = 1000
	dir := b.TempDir()
	write := func(path, text string) {
		b.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for i := range streams {
		id := fmt.Sprintf("s%04d", i)
		sound := tone(1600)
		sound[0] = float32(i) / streams // no two recordings are the same
		write(filepath.Join(dir, "streams", id, "audio.wav"), string(wav(sound)))
		write(filepath.Join(dir, "streams", id, "chat.json"), fmt.Sprintf(`{"streamer":{"name":"x","id":1},"video":{"id":"%d","title":"t"},"comments":[{"_id":"m%d","created_at":"2025-03-01T18:00:01.463Z","content_offset_seconds":1,"commenter":{"_id":"1","name":"a","display_name":"a"},"message":{"body":"soup please","fragments":[]}}]}`, i, i))
		write(filepath.Join(dir, "streams", id, "script.vtt"), "WEBVTT\n\n00:00:00.010 --> 00:00:00.090\nwhat should we cook\n")
	}
	write(filepath.Join(dir, "noop.go"), `package main

import "banter/dsl"

type Params struct{ Streams string }

func main() {
	p := Params{}
	dsl.Main(&p, func() {
		words := dsl.Words(dsl.Load(p.Streams), p.Streams)
		dsl.Filter(dsl.Align(words), dsl.FDR.AtMost(0.9), dsl.NoBots())
	})
}
`)
	run := func(want string) {
		b.Helper()
		out, err := exec.Command("recipe", "run", filepath.Join(dir, "noop.go"), "-p", "streams="+filepath.Join(dir, "streams"), "--store", filepath.Join(dir, "store"), "--json").CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte(want)) {
			b.Fatalf("%v\n%s", err, out[max(0, len(out)-1000):])
		}
	}
	run(`"hits":999,"made":1003,`) // all transcripts are the same
	for b.Loop() {
		run(`"hits":2002,"made":0,`)
	}
}
