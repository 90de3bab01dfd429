package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"banter/internal/problem"
	"banter/stdlib/align"
	"banter/stdlib/chat"
	"banter/stdlib/speech"
)

// labelled is one stream with its truth.
type labelled struct {
	input  align.Input
	truth  *align.Truth
	length time.Duration // speech time that the lag is judged over
}

// spokenWord is one entry of words.json; times are seconds of stream time.
type spokenWord struct {
	Sentence int     `json:"sentence"`
	Word     string  `json:"word"`
	Start    float64 `json:"start"`
	End      float64 `json:"end"`
}

// readStreams reads every sub-folder of dir that holds words.json, truth.json and a chat log chat.json.
func readStreams(ctx context.Context, dir string) ([]labelled, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, &problem.Error{Op: "read streams", Path: dir, Err: err}
	}
	var out []labelled
	for _, e := range entries {
		folder := filepath.Join(dir, e.Name())
		if _, err := os.Stat(filepath.Join(folder, "truth.json")); err != nil {
			continue
		}
		s, err := readStream(ctx, folder, e.Name())
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, &problem.Error{Op: "read streams", Path: dir, Err: fmt.Errorf("no sub-folder holds a truth.json"),
			Fix: "give a folder of streams: one sub-folder each with chat.json, words.json and truth.json"}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].input.Stream < out[j].input.Stream })
	return out, nil
}

func readStream(ctx context.Context, folder, id string) (labelled, error) {
	var s labelled
	truth, err := os.Open(filepath.Join(folder, "truth.json"))
	if err != nil {
		return s, &problem.Error{Op: "read truth", Path: folder, Err: err}
	}
	defer truth.Close()
	if s.truth, err = align.ReadTruth(truth); err != nil {
		return s, fmt.Errorf("%s: %w", folder, err)
	}
	words, err := readWords(filepath.Join(folder, "words.json"))
	if err != nil {
		return s, err
	}
	log, err := chat.Open(ctx, filepath.Join(folder, "chat.json"), chat.Options{})
	if err != nil {
		return s, err
	}
	s.input = align.Input{Stream: id, Transcript: transcriptOf(words), Messages: log.Messages}
	for _, w := range words {
		s.length = max(s.length, time.Duration(w.End*float64(time.Second)))
	}
	return s, nil
}

// maxWordsFile bounds a words.json.
const maxWordsFile = 1 << 30

func readWords(path string) ([]spokenWord, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &problem.Error{Op: "read words", Path: path, Err: err}
	}
	defer f.Close()
	var words []spokenWord
	if err := json.NewDecoder(io.LimitReader(f, maxWordsFile)).Decode(&words); err != nil {
		return nil, &problem.Error{Op: "read words", Path: path, Err: err}
	}
	return words, nil
}

// transcriptOf takes true words as a recogniser would give them: the division into sentences is left to the punctuation.
func transcriptOf(words []spokenWord) *speech.Transcript {
	t := &speech.Transcript{Language: "en", Model: "words.json"}
	for _, w := range words {
		text := strings.TrimSpace(w.Word)
		if text == "" {
			continue
		}
		t.Words = append(t.Words, speech.Word{Text: text, Start: time.Duration(w.Start * float64(time.Second)),
			End: time.Duration(w.End * float64(time.Second)), Prob: -1, Timed: true})
	}
	if n := len(t.Words); n > 0 {
		t.Segments = []speech.Segment{{Start: t.Words[0].Start, End: t.Words[n-1].End, First: 0, Last: n, NoSpeech: -1}}
	}
	return t
}
