//go:build native

package main

/*
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <ggml-backend.h>
#include <whisper.h>

// watch is what a running transcription shares with the goroutine that watches over it.
struct watch {
	atomic_int stop;     // set to end the work
	atomic_int progress; // percent done
};

static bool watch_abort(void *user) { return atomic_load(&((struct watch *)user)->stop) != 0; }
static bool watch_encoder(struct whisper_context *c, struct whisper_state *s, void *user) {
	(void)c; (void)s;
	return !watch_abort(user);
}
static void watch_progress(struct whisper_context *c, struct whisper_state *s, int percent, void *user) {
	(void)c; (void)s;
	atomic_store(&((struct watch *)user)->progress, percent);
}
static void watch_stop(struct watch *w) { atomic_store(&w->stop, 1); }
static int watch_percent(struct watch *w) { return atomic_load(&w->progress); }

// watch_over replaces the binding's callbacks, which share one unsynchronised map, by those above.
static void watch_over(struct whisper_full_params *p, struct watch *w) {
	p->new_segment_callback = NULL;
	p->new_segment_callback_user_data = NULL;
	p->encoder_begin_callback = watch_encoder;
	p->encoder_begin_callback_user_data = w;
	p->progress_callback = watch_progress;
	p->progress_callback_user_data = w;
	p->abort_callback = watch_abort;
	p->abort_callback_user_data = w;
}

static struct whisper_context *open_speech(const char *path, bool gpu, enum whisper_alignment_heads_preset preset,
		int top, const whisper_ahead *heads, size_t n) {
	struct whisper_context_params c = whisper_context_default_params();
	c.use_gpu = gpu;
	if (preset != WHISPER_AHEADS_NONE) {
		c.flash_attn = false; // it keeps no attention weights, which the time warping reads
		c.dtw_token_timestamps = true;
		c.dtw_aheads_preset = preset;
		c.dtw_n_top = top;
		c.dtw_aheads.heads = heads;
		c.dtw_aheads.n_heads = n;
	}
	return whisper_init_from_file_with_params_no_state(path, c);
}
*/
import "C"

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unsafe"

	whisper "github.com/ggerganov/whisper.cpp/bindings/go"

	"banter/internal/progress"
	"banter/internal/worker"
	"banter/internal/worker/native"
)

// speechKey is what a loaded speech model depends on.
type speechKey struct {
	file
	gpu    bool
	preset C.enum_whisper_alignment_heads_preset
	top    int
	heads  string // as printed
}

// speechModel is a model without a state: each call makes its own, so calls can share it.
type speechModel struct {
	c     *C.struct_whisper_context
	heads *C.whisper_ahead // whisper.cpp keeps this pointer
}

// binding is the model as the official binding knows it.
func (m *speechModel) binding() *whisper.Context {
	return (*whisper.Context)(unsafe.Pointer(m.c))
}

var speechModels = cache[speechKey, *speechModel]{keep: 2, free: func(m *speechModel) {
	C.whisper_free(m.c)
	C.free(unsafe.Pointer(m.heads))
}}

// presets are the alignment heads that whisper.cpp knows, by the names that its own tools use.
var presets = map[string]C.enum_whisper_alignment_heads_preset{
	"tiny.en": C.WHISPER_AHEADS_TINY_EN, "tiny": C.WHISPER_AHEADS_TINY,
	"base.en": C.WHISPER_AHEADS_BASE_EN, "base": C.WHISPER_AHEADS_BASE,
	"small.en": C.WHISPER_AHEADS_SMALL_EN, "small": C.WHISPER_AHEADS_SMALL,
	"medium.en": C.WHISPER_AHEADS_MEDIUM_EN, "medium": C.WHISPER_AHEADS_MEDIUM,
	"large.v1": C.WHISPER_AHEADS_LARGE_V1, "large.v2": C.WHISPER_AHEADS_LARGE_V2,
	"large.v3": C.WHISPER_AHEADS_LARGE_V3, "large.v3.turbo": C.WHISPER_AHEADS_LARGE_V3_TURBO,
}

func useSpeechModel(p *native.TranscribeParams) (*speechModel, func(), error) {
	loadBackends()
	f, err := stat(p.Model)
	if err != nil {
		return nil, nil, err
	}
	key := speechKey{file: f, gpu: p.GPU, preset: C.WHISPER_AHEADS_NONE}
	switch {
	case len(p.DTWHeads) > 0:
		key.preset, key.heads = C.WHISPER_AHEADS_CUSTOM, fmt.Sprint(p.DTWHeads)
	case p.DTWPreset != "":
		preset, ok := presets[p.DTWPreset]
		if !ok {
			return nil, nil, &worker.Failure{Message: fmt.Sprintf("no alignment heads are known by the name %q", p.DTWPreset), Fix: "name the heads one by one"}
		}
		key.preset = preset
	case p.DTWTopMost > 0:
		key.preset, key.top = C.WHISPER_AHEADS_N_TOP_MOST, p.DTWTopMost
	}
	return speechModels.use(key, func() (*speechModel, error) {
		if len(p.DTWHeads) > 256 {
			return nil, &worker.Failure{Message: fmt.Sprintf("%d alignment heads are too many", len(p.DTWHeads))}
		}
		m := &speechModel{}
		if len(p.DTWHeads) > 0 {
			m.heads = (*C.whisper_ahead)(C.calloc(C.size_t(len(p.DTWHeads)), C.size_t(unsafe.Sizeof(C.whisper_ahead{}))))
			heads := unsafe.Slice(m.heads, len(p.DTWHeads))
			for i, h := range p.DTWHeads {
				heads[i] = C.whisper_ahead{n_text_layer: C.int(h.Layer), n_head: C.int(h.Head)}
			}
		}
		path := C.CString(p.Model)
		defer C.free(unsafe.Pointer(path))
		takeError("")
		m.c = C.open_speech(path, C.bool(p.GPU), key.preset, C.int(key.top), m.heads, C.size_t(len(p.DTWHeads)))
		if m.c == nil {
			C.free(unsafe.Pointer(m.heads))
			return nil, &worker.Failure{Path: p.Model, Message: "whisper.cpp does not take this model: " + takeError("no reason given"), Fix: "fetch it again, or name another"}
		}
		// whisper.cpp takes the heads as they come and stops the process later on if there are no such ones.
		layers, width := int(C.whisper_model_n_text_layer(m.c)), int(C.whisper_model_n_text_head(m.c))
		for _, h := range p.DTWHeads {
			if h.Layer < 0 || h.Layer >= layers || h.Head < 0 || h.Head >= width {
				C.whisper_free(m.c)
				C.free(unsafe.Pointer(m.heads))
				return nil, &worker.Failure{Path: p.Model, Message: fmt.Sprintf("the model has %d decoder layers with %d heads each: there is no head %d in layer %d", layers, width, h.Head, h.Layer)}
			}
		}
		return m, nil
	})
}

// transcribe answers [native.MethodTranscribe].
func transcribe(ctx context.Context, r *worker.Request) (any, []byte, error) {
	var p native.TranscribeParams
	if err := json.Unmarshal(r.Params, &p); err != nil {
		return nil, nil, err
	}
	samples, err := readSamples(r.Payload)
	if err != nil {
		return nil, nil, err
	}
	m, done, err := useSpeechModel(&p)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	result := &native.Transcription{Language: p.Language, Segments: []native.Segment{}}
	if len(samples) == 0 {
		return result, nil, nil
	}

	params, release, err := speechParams(m, &p)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	watch := (*C.struct_watch)(C.calloc(1, C.size_t(unsafe.Sizeof(C.struct_watch{}))))
	defer C.free(unsafe.Pointer(watch))
	C.watch_over(params, watch)

	state := C.whisper_init_state(m.c)
	if state == nil {
		return nil, nil, &worker.Failure{Path: p.Model, Message: "whisper.cpp could not make room for its work: " + takeError("no reason given"), Fix: "use a smaller model or free some memory"}
	}
	defer C.whisper_free_state(state)

	finished, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-finished:
				return
			case <-ctx.Done():
				C.watch_stop(watch)
				return
			case <-tick.C:
				progress.Tell(ctx, progress.Report{Done: int64(C.watch_percent(watch)), Total: 100, Unit: "%"})
			}
		}
	}()
	takeError("")
	rc := C.whisper_full_with_state(m.c, state, *params, (*C.float)(&samples[0]), C.int(len(samples)))
	close(finished)
	<-watched
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	if rc != 0 {
		return nil, nil, &worker.Failure{Path: p.Model, Message: fmt.Sprintf("whisper.cpp gave up with code %d: %s", int(rc), takeError("no reason given"))}
	}

	if lang := C.whisper_full_lang_id_from_state(state); lang >= 0 {
		result.Language = C.GoString(C.whisper_lang_str(lang))
	}
	firstSpecial := m.binding().Whisper_token_eot() // text tokens come before all special ones
	warped := p.DTWPreset != "" || p.DTWTopMost > 0 || len(p.DTWHeads) > 0
	for i := range C.whisper_full_n_segments_from_state(state) {
		s := native.Segment{
			StartMS:  10 * int64(C.whisper_full_get_segment_t0_from_state(state, i)),
			EndMS:    10 * int64(C.whisper_full_get_segment_t1_from_state(state, i)),
			NoSpeech: finite(C.whisper_full_get_segment_no_speech_prob_from_state(state, i)),
			TurnNext: bool(C.whisper_full_get_segment_speaker_turn_next_from_state(state, i)),
			Tokens:   []native.Token{},
		}
		for j := range C.whisper_full_n_tokens_from_state(state, i) {
			d := C.whisper_full_get_token_data_from_state(state, i, j)
			if whisper.Token(d.id) >= firstSpecial {
				continue
			}
			t := native.Token{
				ID:      int32(d.id),
				Text:    []byte(C.GoString(C.whisper_full_get_token_text_from_state(m.c, state, i, j))),
				Prob:    finite(d.p),
				LogProb: finite(d.plog),
				StartMS: 10 * int64(d.t0),
				EndMS:   10 * int64(d.t1),
				DTWMS:   -1,
			}
			if warped && d.t_dtw >= 0 {
				t.DTWMS = 10 * int64(d.t_dtw)
			}
			s.Tokens = append(s.Tokens, t)
		}
		result.Segments = append(result.Segments, s)
	}
	return result, nil, nil
}

// speechParams makes whisper.cpp's parameters, through the official binding as far as it goes. The pointer is valid until
// release is called.
func speechParams(m *speechModel, p *native.TranscribeParams) (params *C.struct_whisper_full_params, release func(), err error) {
	strategy := whisper.SAMPLING_GREEDY
	if p.Beam > 1 {
		strategy = whisper.SAMPLING_BEAM_SEARCH
	}
	b := m.binding().Whisper_full_default_params(strategy)
	b.SetThreads(int(threads(p.Threads)))
	b.SetPrintProgress(false)
	b.SetPrintRealtime(false)
	b.SetPrintTimestamps(false)
	b.SetTokenTimestamps(true)
	b.SetTranslate(p.Translate)
	b.SetTemperature(p.Temperature)
	b.SetTemperatureFallback(p.TemperatureStep)
	b.SetEntropyThold(p.MaxEntropy)
	b.SetMaxTokensPerSegment(p.MaxTokens)
	if p.Beam > 1 {
		b.SetBeamSize(min(p.Beam, 8)) // whisper.cpp has room for eight decoders
	}
	if p.MaxContext >= 0 {
		b.SetMaxContext(p.MaxContext)
	}
	b.SetNoContext(p.MaxContext == 0)
	lang := -1
	if p.Language != "" {
		name := C.CString(p.Language)
		lang = int(C.whisper_lang_id(name))
		C.free(unsafe.Pointer(name))
		if lang < 0 {
			return nil, nil, &worker.Failure{Message: fmt.Sprintf("whisper.cpp knows no language %q", p.Language), Fix: `name it as in "en" or "german"`}
		}
	}
	if err := b.SetLanguage(lang); err != nil {
		return nil, nil, err
	}

	// What the binding has no setters for.
	params = (*C.struct_whisper_full_params)(C.malloc(C.size_t(unsafe.Sizeof(C.struct_whisper_full_params{}))))
	*params = *(*C.struct_whisper_full_params)(unsafe.Pointer(&b))
	params.logprob_thold = C.float(p.MinLogProb)
	params.no_speech_thold = C.float(p.NoSpeech)
	params.suppress_blank = C.bool(p.SuppressBlank)
	params.suppress_nst = C.bool(p.SuppressNonSpeech)
	params.tdrz_enable = C.bool(p.Turns)
	if p.BestOf > 0 {
		params.greedy.best_of = C.int(min(p.BestOf, 8))
	}
	var strs []*C.char
	text := func(s string) *C.char {
		if s == "" {
			return nil
		}
		strs = append(strs, C.CString(strings.ReplaceAll(s, "\x00", " ")))
		return strs[len(strs)-1]
	}
	params.initial_prompt = text(p.Prompt)
	params.suppress_regex = text(p.SuppressRegex)
	return params, func() {
		C.free(unsafe.Pointer(params))
		for _, s := range strs {
			C.free(unsafe.Pointer(s))
		}
	}, nil
}

// readSamples reads a payload of samples. Numbers that are none would spread through a whole window.
func readSamples(payload []byte) ([]float32, error) {
	samples, err := native.Floats(payload)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(samples, func(v float32) bool { return v != v || math.Abs(float64(v)) > 1e6 }); i >= 0 {
		return nil, &worker.Failure{Message: fmt.Sprintf("sample %d is %v", i, samples[i]), Fix: "decode the recording again"}
	}
	return samples, nil
}

// finite is x as JSON can say it.
func finite(x C.float) float32 {
	if v := float32(x); v == v && v >= -math.MaxFloat32 && v <= math.MaxFloat32 {
		return v
	}
	return -1
}

// vadKey is what a loaded voice activity model depends on.
type vadKey struct {
	file
	threads C.int
}

// vadModel has its state inside, so one call at a time uses it.
type vadModel struct {
	c    *C.struct_whisper_vad_context
	busy chan struct{}
}

var vadModels = cache[vadKey, *vadModel]{keep: 1, free: func(m *vadModel) { C.whisper_vad_free(m.c) }}

// detectSpeech answers [native.MethodVAD].
func detectSpeech(ctx context.Context, r *worker.Request) (any, []byte, error) {
	var p native.VADParams
	if err := json.Unmarshal(r.Params, &p); err != nil {
		return nil, nil, err
	}
	samples, err := readSamples(r.Payload)
	if err != nil {
		return nil, nil, err
	}
	loadBackends()
	f, err := stat(p.Model)
	if err != nil {
		return nil, nil, err
	}
	key := vadKey{f, threads(p.Threads)}
	m, done, err := vadModels.use(key, func() (*vadModel, error) {
		path := C.CString(p.Model)
		defer C.free(unsafe.Pointer(path))
		params := C.whisper_vad_default_context_params()
		params.n_threads = key.threads
		takeError("")
		c := C.whisper_vad_init_from_file_with_params(path, params)
		if c == nil {
			return nil, &worker.Failure{Path: p.Model, Message: "whisper.cpp does not take this voice activity model: " + takeError("no reason given"), Fix: "fetch it again, or name another"}
		}
		return &vadModel{c, make(chan struct{}, 1)}, nil
	})
	if err != nil {
		return nil, nil, err
	}
	defer done()
	select {
	case m.busy <- struct{}{}:
		defer func() { <-m.busy }()
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	result := &native.Speech{Spans: []native.Span{}}
	if len(samples) == 0 {
		return result, nil, nil
	}
	params := C.whisper_vad_default_params()
	params.threshold = C.float(p.Threshold)
	params.min_speech_duration_ms = C.int(p.MinSpeechMS)
	params.min_silence_duration_ms = C.int(p.MinSilenceMS)
	params.speech_pad_ms = C.int(p.PadMS)
	spans := C.whisper_vad_segments_from_samples(m.c, params, (*C.float)(&samples[0]), C.int(len(samples)))
	if spans == nil {
		return nil, nil, &worker.Failure{Path: p.Model, Message: "voice activity detection gave up: " + takeError("no reason given")}
	}
	defer C.whisper_vad_free_segments(spans)
	for i := range C.whisper_vad_segments_n_segments(spans) {
		result.Spans = append(result.Spans, native.Span{
			StartMS: int64(math.Round(10 * float64(C.whisper_vad_segments_get_segment_t0(spans, i)))), // in centiseconds
			EndMS:   int64(math.Round(10 * float64(C.whisper_vad_segments_get_segment_t1(spans, i)))),
		})
	}
	return result, nil, nil
}
