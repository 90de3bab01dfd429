//go:build native

package main

/*
#include <stdlib.h>
#include <llama.h>
*/
import "C"

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"banter/internal/progress"
	"banter/internal/worker"
	"banter/internal/worker/native"
	"banter/stdlib/lm/sampling"
)

// lmKey is what a loaded language model depends on.
type lmKey struct {
	model file
	gpu   bool
}

type lmModel struct {
	path  string
	c     *C.struct_llama_model
	vocab *C.struct_llama_vocab

	mu       sync.Mutex
	adapters map[file]*C.struct_llama_adapter_lora // loaded for this model, and freed with it
}

var lmModels = cache[lmKey, *lmModel]{keep: 2, free: func(m *lmModel) { C.llama_model_free(m.c) }}

// asked reads what a call asks for into params, of which p is a part, and returns the model that it names and the function
// that says that it is no longer used.
func asked(r *worker.Request, params any, p *native.LMParams) (*lmModel, func(), error) {
	if err := json.Unmarshal(r.Params, params); err != nil {
		return nil, nil, err
	}
	return useLM(p)
}

func useLM(p *native.LMParams) (*lmModel, func(), error) {
	loadBackends()
	f, err := stat(p.Model)
	if err != nil {
		return nil, nil, err
	}
	return lmModels.use(lmKey{f, p.GPU}, func() (*lmModel, error) {
		params := C.llama_model_default_params()
		if !p.GPU {
			params.n_gpu_layers = 0
		}
		path := C.CString(p.Model)
		defer C.free(unsafe.Pointer(path))
		takeError("")
		c := C.llama_model_load_from_file(path, params)
		if c == nil {
			return nil, &worker.Failure{Path: p.Model, Message: "llama.cpp does not take this model: " + takeError("no reason given"), Fix: "fetch it again, or name another"}
		}
		return &lmModel{path: p.Model, c: c, vocab: C.llama_model_get_vocab(c), adapters: map[file]*C.struct_llama_adapter_lora{}}, nil
	})
}

// adapter returns the adapter at path, which is loaded once for this model; nil for an empty path.
func (m *lmModel) adapter(path string) (*C.struct_llama_adapter_lora, error) {
	if path == "" {
		return nil, nil
	}
	f, err := stat(path)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if a := m.adapters[f]; a != nil {
		return a, nil
	}
	cPath := C.CString(path)
	defer C.free(unsafe.Pointer(cPath))
	takeError("")
	a := C.llama_adapter_lora_init(m.c, cPath)
	if a == nil {
		return nil, &worker.Failure{Path: path, Message: "llama.cpp does not take this adapter for " + m.path + ": " + takeError("no reason given")}
	}
	m.adapters[f] = a
	return a, nil
}

// maxText bounds a text in bytes.
const maxText = 8 << 20

// tokens returns text's tokens; with special set, tokens at the ends are added and special tokens in the text read.
func (m *lmModel) tokens(text string, special bool) ([]C.llama_token, error) {
	if len(text) > maxText {
		return nil, &worker.Failure{Message: fmt.Sprintf("a text of %d bytes is over the limit of %d", len(text), maxText)}
	}
	s := C.CString(text)
	defer C.free(unsafe.Pointer(s))
	ids := make([]C.llama_token, len(text)+8)
	n := C.llama_tokenize(m.vocab, s, C.int32_t(len(text)), &ids[0], C.int32_t(len(ids)), C.bool(special), C.bool(special))
	if n < 0 {
		return nil, &worker.Failure{Path: m.path, Message: fmt.Sprintf("llama.cpp cannot tokenize this text (code %d)", int(n))}
	}
	return ids[:n], nil
}

// given returns the tokens of a call that names them one by one or by a text.
func (m *lmModel) given(text string, ids []int32) ([]C.llama_token, error) {
	if len(ids) == 0 {
		return m.tokens(text, true)
	}
	size := int32(C.llama_vocab_n_tokens(m.vocab))
	out := make([]C.llama_token, len(ids))
	for i, id := range ids {
		if id < 0 || id >= size {
			return nil, &worker.Failure{Path: m.path, Message: fmt.Sprintf("there is no token %d in a vocabulary of %d", id, size)}
		}
		out[i] = C.llama_token(id)
	}
	return out, nil
}

// piece returns the bytes of a token; special ones have none unless asked for. SentencePiece writes a space before the
// first word of a text, which is no part of it.
func (m *lmModel) piece(id C.llama_token, special, first bool) []byte {
	strip := C.int32_t(0)
	if first && C.llama_vocab_type(m.vocab) == C.LLAMA_VOCAB_TYPE_SPM {
		strip = 1
	}
	buf := make([]byte, 64)
	for {
		n := int(C.llama_token_to_piece(m.vocab, id, (*C.char)(unsafe.Pointer(&buf[0])), C.int32_t(len(buf)), strip, C.bool(special)))
		if n >= 0 {
			return buf[:n]
		}
		buf = make([]byte, -n)
	}
}

func describeModel(_ context.Context, r *worker.Request) (any, []byte, error) {
	var p native.LMParams
	m, done, err := asked(r, &p, &p)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	if _, err := m.adapter(p.Adapter); err != nil {
		return nil, nil, err
	}
	var desc [256]C.char
	C.llama_model_desc(m.c, &desc[0], C.size_t(len(desc)))
	return &native.LMInfo{
		Description:  C.GoString(&desc[0]),
		Parameters:   uint64(C.llama_model_n_params(m.c)),
		Context:      int(C.llama_model_n_ctx_train(m.c)),
		Vocabulary:   int(C.llama_vocab_n_tokens(m.vocab)),
		Width:        int(C.llama_model_n_embd(m.c)),
		Layers:       int(C.llama_model_n_layer(m.c)),
		BOS:          int32(C.llama_vocab_bos(m.vocab)),
		EOS:          int32(C.llama_vocab_eos(m.vocab)),
		ChatTemplate: C.GoString(C.llama_model_chat_template(m.c, nil)),
	}, nil, nil
}

func tokenize(_ context.Context, r *worker.Request) (any, []byte, error) {
	var p native.TokenizeParams
	m, done, err := asked(r, &p, &p.LMParams)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	ids, err := m.tokens(p.Text, p.Special)
	if err != nil {
		return nil, nil, err
	}
	result := &native.Tokens{IDs: make([]int32, len(ids)), Pieces: make([][]byte, len(ids))}
	for i, id := range ids {
		result.IDs[i], result.Pieces[i] = int32(id), m.piece(id, true, false)
	}
	return result, nil, nil
}

func generate(ctx context.Context, r *worker.Request) (any, []byte, error) {
	var p native.GenerateParams
	m, done, err := asked(r, &p, &p.LMParams)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	ids, err := m.given(p.Prompt, p.Tokens)
	if err != nil {
		return nil, nil, err
	}
	if len(ids) == 0 {
		return nil, nil, &worker.Failure{Path: m.path, Message: "there is no prompt, and the model has no token to begin with", Fix: "give a prompt"}
	}
	if limit := int(C.llama_model_n_ctx_train(m.c)); limit > 0 {
		if len(ids) >= limit {
			return nil, nil, &worker.Failure{Path: m.path, Message: fmt.Sprintf("a prompt of %d tokens leaves no room in the model's %d", len(ids), limit), Fix: "shorten the prompt"}
		}
		p.MaxTokens = min(p.MaxTokens, limit-len(ids))
	}
	s, err := m.open(ctx, &p.LMParams, len(ids)+max(p.MaxTokens, 0), false)
	if err != nil {
		return nil, nil, err
	}
	defer s.close()
	seen := make([]int32, len(ids))
	for i, id := range ids {
		seen[i] = int32(id)
	}
	sampler := sampling.New(p.Sampling, p.Seed, seen)
	result := &native.Generated{IDs: []int32{}, Ended: "length"}
	decode := func(ids []C.llama_token, from int) error {
		began := time.Now()
		defer func() { result.DecodeSeconds += time.Since(began).Seconds() }()
		return s.decode(ctx, ids, from, nil)
	}
	if err := decode(ids, 0); err != nil {
		return nil, nil, err
	}
	var text []byte
	for len(result.IDs) < p.MaxTokens {
		logits := s.logits(-1)
		id := C.llama_token(sampler.Next(logits))
		result.LogProb += logProb(logits, id)
		result.IDs = append(result.IDs, int32(id))
		if bool(C.llama_vocab_is_eog(m.vocab, id)) || slices.Contains(p.Ends, int32(id)) {
			result.Ended = "end of text"
			break
		}
		text = append(text, m.piece(id, false, len(text) == 0)...)
		if at := firstStop(text, p.Stop); at >= 0 {
			text, result.Ended = text[:at], "stop"
			break
		}
		progress.Tell(ctx, progress.Report{Done: int64(len(result.IDs)), Total: int64(p.MaxTokens), Unit: "tokens", Note: strings.ToValidUTF8(string(text), "\uFFFD")})
		if len(result.IDs) == p.MaxTokens {
			break
		}
		if err := decode([]C.llama_token{id}, len(ids)+len(result.IDs)-1); err != nil {
			return nil, nil, err
		}
	}
	result.Text = strings.ToValidUTF8(string(text), "\uFFFD")
	return result, nil, nil
}

// firstStop returns where the first of stops begins in text, or -1.
func firstStop(text []byte, stops []string) int {
	first := -1
	for _, stop := range stops {
		if stop == "" {
			continue
		}
		if at := strings.Index(string(text), stop); at >= 0 && (first < 0 || at < first) {
			first = at
		}
	}
	return first
}

func score(ctx context.Context, r *worker.Request) (any, []byte, error) {
	var p native.ScoreParams
	m, done, err := asked(r, &p, &p.LMParams)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	ids, err := m.given(p.Text, p.Tokens)
	if err != nil {
		return nil, nil, err
	}
	result := &native.Scores{IDs: make([]int32, len(ids)), LogProbs: make([]float64, len(ids))}
	for i, id := range ids {
		result.IDs[i] = int32(id)
	}
	if len(ids) < 2 {
		return result, nil, nil
	}
	s, err := m.open(ctx, &p.LMParams, len(ids), true)
	if err != nil {
		return nil, nil, err
	}
	defer s.close()
	err = s.decode(ctx, ids, 0, func(i, row int) error {
		if i+1 < len(ids) {
			result.LogProbs[i+1] = logProb(s.logits(row), ids[i+1])
		}
		progress.Tell(ctx, progress.Report{Done: int64(i + 1), Total: int64(len(ids)), Unit: "tokens"})
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return result, nil, nil
}

// quantize writes a GGUF model anew with its matrices in another type.
func quantize(_ context.Context, r *worker.Request) (any, []byte, error) {
	var p native.QuantizeParams
	if err := json.Unmarshal(r.Params, &p); err != nil {
		return nil, nil, err
	}
	loadBackends()
	types := map[string]C.enum_llama_ftype{"Q8_0": C.LLAMA_FTYPE_MOSTLY_Q8_0, "Q4_0": C.LLAMA_FTYPE_MOSTLY_Q4_0, "Q4_K": C.LLAMA_FTYPE_MOSTLY_Q4_K_M,
		"Q5_K": C.LLAMA_FTYPE_MOSTLY_Q5_K_M, "Q6_K": C.LLAMA_FTYPE_MOSTLY_Q6_K}
	kind, ok := types[p.Type]
	if !ok {
		return nil, nil, &worker.Failure{Message: fmt.Sprintf("llama.cpp does not quantize to %q here", p.Type), Fix: "use Q8_0, Q4_0, Q4_K, Q5_K or Q6_K"}
	}
	if _, err := stat(p.Model); err != nil {
		return nil, nil, err
	}
	params := C.llama_model_quantize_default_params()
	params.ftype, params.nthread = kind, C.int32_t(threads(p.Threads))
	from, to := C.CString(p.Model), C.CString(p.To)
	defer C.free(unsafe.Pointer(from))
	defer C.free(unsafe.Pointer(to))
	takeError("")
	if C.llama_model_quantize(from, to, &params) != 0 {
		return nil, nil, &worker.Failure{Path: p.Model, Message: "llama.cpp cannot quantize it to " + p.Type + ": " + takeError("no reason given")}
	}
	return struct{}{}, nil, nil
}
