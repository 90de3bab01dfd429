package speech

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"banter/internal/problem"
	"banter/internal/progress"
	"banter/internal/worker/native"
)

// Transcribe writes down what is said in audio. It holds as many windows of samples as o.Parallel says, however long
// the recording is.
//
// The recording is cut into windows at pauses; where somebody speaks for too long without one, two windows overlap and
// are joined at a word that both have heard. The same samples and options give the same transcript whatever Threads and
// Parallel are, as far as whisper.cpp's arithmetic does: on one CPU it does, but another CPU generation or a GPU rounds
// otherwise and can choose other words.
func Transcribe(ctx context.Context, engine Engine, audio Source, o Options) (*Transcript, error) {
	fail := func(at time.Duration, err error) error {
		var known *problem.Error
		if errors.As(err, &known) {
			return err
		}
		p := &problem.Error{Op: "transcribe", Err: err}
		if at > 0 {
			p.At = at.String()
		}
		return p
	}
	if err := o.check(); err != nil {
		return nil, fail(0, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	type job struct {
		w        *window
		words    []heardWord
		segments []heardSegment
		language string
		err      error
		done     chan struct{}
	}
	jobs := make(chan *job, o.parallel())
	slots := make(chan struct{}, o.parallel())
	var cutErr error
	go func() {
		defer close(jobs)
		c := &cutter{source: audio, engine: engine, o: &o}
		for {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				cutErr = ctx.Err()
				return
			}
			w, err := c.next(ctx)
			if err != nil || w == nil {
				cutErr = err
				return
			}
			j := &job{w: w, done: make(chan struct{})}
			go func() {
				defer close(j.done)
				j.words, j.segments, j.language, j.err = hearAll(ctx, engine, w, &o)
			}()
			jobs <- j
		}
	}()
	// Whatever happens, the source is no longer read when Transcribe returns: it belongs to the caller.
	defer func() {
		cancel()
		for j := range jobs {
			<-j.done
			<-slots
		}
	}()

	m := &joiner{o: &o}
	for j := range jobs {
		<-j.done
		<-slots
		if j.err != nil {
			return nil, fail(streamTime(j.w.start), j.err)
		}
		m.add(j.w, j.words, j.segments, j.language)
		progress.Tell(ctx, progress.Report{Done: int64(streamTime(j.w.to) / time.Second), Unit: "s", Note: fmt.Sprintf("%d words", len(m.words))})
	}
	if cutErr != nil {
		return nil, fail(m.end, cutErr)
	}
	if m.end == 0 {
		return nil, fail(0, errors.New("the recording has no samples"))
	}
	return m.transcript(), nil
}

// hear has the engine transcribe one window.
func hear(ctx context.Context, engine Engine, w *window, o *Options) (*native.Transcription, error) {
	heard := new(native.Transcription)
	if w.empty {
		return heard, nil
	}
	p := native.TranscribeParams{
		Model:           o.Model.Path,
		Threads:         o.threads(),
		GPU:             o.GPU,
		Language:        o.Language,
		Prompt:          o.Prompt,
		Beam:            o.Beam,
		BestOf:          5,
		TemperatureStep: 0.2, // these five are whisper's customary settings
		MaxEntropy:      2.4,
		MinLogProb:      -1,
		NoSpeech:        0.6,
		SuppressBlank:   true,
		MaxContext:      o.Context,
		Turns:           o.Model.Quirks.MarksTurns,
		DTWPreset:       o.Model.Quirks.DTWPreset,
	}
	for _, h := range o.Model.Quirks.DTWHeads {
		p.DTWHeads = append(p.DTWHeads, native.Head(h))
	}
	// The engine's own progress, percent of one window, would make the recording's jump back and forth.
	quiet := progress.With(ctx, nil)
	raw, _, err := engine.Call(quiet, native.MethodTranscribe, &p, native.Bytes(w.samples))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, heard); err != nil {
		return nil, err
	}
	return heard, nil
}
