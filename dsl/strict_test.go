package dsl

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestStrictOnADamagedRecording: a recording with a hole is loaded with the hole named, Strict refuses it with its place, SkipBad
// leaves it out by name, and neither meaning is a hit of the other.
func TestStrictOnADamagedRecording(t *testing.T) {
	whole, err := os.ReadFile(filepath.Join("..", "stdlib", "media", "testdata", "click.flac"))
	if err != nil {
		t.Fatal(err)
	}
	torn := bytes.Clone(whole)
	for i := len(torn) * 88 / 100; i < len(torn)*91/100; i++ { // well behind the padding
		torn[i] = 0
	}
	dir := t.TempDir()
	put := func(id string, content []byte) {
		if err := os.MkdirAll(filepath.Join(dir, id), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, id, "a.flac"), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("torn", torn)
	put("whole", whole)
	s, err := Open(Config{Store: t.TempDir(), Jobs: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	load := func(options ...LoadOption) (streams Streams, err error) {
		err = s.Run(t.Context(), func() error { streams = Load(dir, options...); return nil })
		return streams, err
	}
	for range 2 { // the second time from the store
		streams, err := load()
		if err != nil || streams.Len() != 2 {
			t.Fatalf("%d streams, %v", streams.Len(), err)
		}
		hurt, sound := streams.Infos()[0], streams.Infos()[1]
		if len(sound.Recording.Damage) != 0 || len(hurt.Recording.Damage) == 0 {
			t.Fatalf("damage of the whole one %v, of the torn one %v", sound.Recording.Damage, hurt.Recording.Damage)
		}
		for _, d := range hurt.Recording.Damage {
			if d.Loss != "silenced" || d.FromMS < 0 || d.ToMS <= d.FromMS || d.ToMS > hurt.Recording.DurationMS {
				t.Errorf("damage %+v in %d ms", d, hurt.Recording.DurationMS)
			}
		}
		if hurt.Recording.DurationMS != sound.Recording.DurationMS {
			t.Errorf("%d ms with the hole, %d ms without", hurt.Recording.DurationMS, sound.Recording.DurationMS)
		}
		if len(hurt.Warnings) == 0 {
			t.Error("nothing is said of the damage")
		}

		_, err = load(Strict())
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), "torn") || !strings.Contains(err.Error(), "a.flac") || !strings.Contains(err.Error(), "00:00:0") || strings.Contains(err.Error(), "whole: ") {
			t.Errorf("Strict: %v", err)
		}
		streams, err = load(Strict(), SkipBad())
		if err != nil || streams.Len() != 1 || len(streams.Skipped()) != 1 || streams.Skipped()[0].ID != "torn" || !streams.Infos()[0].Recording.Strict {
			t.Errorf("Strict and SkipBad: %+v, skipped %v, %v", streams.Infos(), streams.Skipped(), err)
		}
	}
	put("torn", whole[:len(whole)-1]) // still no twin of the other
	if _, err := load(Strict()); err == nil {
		t.Error("Strict takes a recording that lacks its end")
	}
}
