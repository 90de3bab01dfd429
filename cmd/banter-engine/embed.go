//go:build native

package main

/*
#include <llama.h>
*/
import "C"

import (
	"context"
	"fmt"
	"math"
	"unsafe"

	"banter/internal/progress"
	"banter/internal/worker"
	"banter/internal/worker/native"
)

const embedTexts = 64 // that are read at a time, at most

func embed(ctx context.Context, r *worker.Request) (any, []byte, error) {
	var p native.EmbedParams
	m, done, err := asked(r, &p, &p.LMParams)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	width := int(C.llama_model_n_embd_out(m.c))
	if most := worker.MaxPayload / (4 * width); len(p.Texts) > most {
		return nil, nil, &worker.Failure{Path: m.path, Message: fmt.Sprintf("%d texts are more than the %d whose vectors go into one answer", len(p.Texts), most)}
	}
	texts := make([][]C.llama_token, len(p.Texts))
	for i, text := range p.Texts {
		if texts[i], err = m.embeddable(text); err != nil {
			return nil, nil, err
		}
	}
	all := make([]float32, width*len(texts))
	s, err := m.openEmbedder(ctx, &p.LMParams)
	if err != nil {
		return nil, nil, err
	}
	defer s.close()
	for at := 0; at < len(texts); {
		n, tokens := 0, 0
		for at+n < len(texts) && n < embedTexts && tokens+len(texts[at+n]) <= s.batch {
			tokens += len(texts[at+n])
			n++
		}
		if err := s.pool(ctx, texts[at:at+n], all[at*width:(at+n)*width], width); err != nil {
			return nil, nil, err
		}
		at += n
		progress.Tell(ctx, progress.Report{Done: int64(at), Total: int64(len(texts)), Unit: "texts"})
	}
	return &native.Embedding{Count: len(texts), Width: width}, native.Bytes(all), nil
}

// embeddable returns a text's tokens, as many as are read of it. The token that ends a text for the model stays its last.
func (m *lmModel) embeddable(text string) ([]C.llama_token, error) {
	if text == "" {
		return nil, nil
	}
	ids, err := m.tokens(text, true)
	if err != nil {
		return nil, err
	}
	limit := native.MaxEmbedTokens
	if trained := int(C.llama_model_n_ctx_train(m.c)); trained > 0 {
		limit = min(limit, trained)
	}
	if len(ids) > limit {
		last := ids[len(ids)-1]
		ids = ids[:limit]
		if bool(C.llama_vocab_get_add_eos(m.vocab)) || bool(C.llama_vocab_get_add_sep(m.vocab)) {
			ids[limit-1] = last
		}
	}
	return ids, nil
}

// openEmbedder makes room for reading texts.
func (m *lmModel) openEmbedder(ctx context.Context, p *native.LMParams) (*session, error) {
	if p.Adapter != "" {
		return nil, &worker.Failure{Path: p.Adapter, Message: "embeddings are made without adapters"}
	}
	if bool(C.llama_model_has_encoder(m.c)) && bool(C.llama_model_has_decoder(m.c)) {
		return nil, &worker.Failure{Path: m.path, Message: "a model with an encoder and a decoder gives no embeddings here", Fix: "use an embedding model, such as one of the BERT family"}
	}
	s, err := m.openSession(ctx, p, native.MaxEmbedTokens, native.MaxEmbedTokens, 0, embedTexts)
	if err != nil {
		return nil, err
	}
	if C.llama_pooling_type(s.c) == C.LLAMA_POOLING_TYPE_RANK {
		s.close()
		return nil, &worker.Failure{Path: m.path, Message: "this model ranks texts and gives no vectors", Fix: "use an embedding model"}
	}
	return s, nil
}

// pool reads texts and writes the vector of each to out, made unit length; that of a text without tokens stays zero.
func (s *session) pool(ctx context.Context, texts [][]C.llama_token, out []float32, width int) error {
	var ids []C.llama_token
	var text, pos []C.int32_t
	for i, t := range texts {
		for k, id := range t {
			ids, text, pos = append(ids, id), append(text, C.int32_t(i)), append(pos, C.int32_t(k))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	C.llama_memory_clear(C.llama_get_memory(s.c), true)
	if err := s.feed(ctx, ids, text, pos, true); err != nil {
		return err
	}
	for i, t := range texts {
		if len(t) == 0 {
			continue
		}
		v := C.llama_get_embeddings_seq(s.c, C.llama_seq_id(i))
		if v == nil {
			return &worker.Failure{Path: s.m.path, Message: "the model gives no embeddings: " + takeError("no reason given")}
		}
		if !unit(out[i*width:(i+1)*width], unsafe.Slice((*float32)(v), width)) {
			return &worker.Failure{Path: s.m.path, Message: "the model gives vectors that are no numbers: its file is damaged", Fix: "fetch it again, or name another"}
		}
	}
	return nil
}

// unit writes v to out, made unit length; it says false where v is not finite.
func unit(out, v []float32) bool {
	var norm float64
	for _, x := range v {
		norm += float64(x) * float64(x)
	}
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return false
	}
	if norm = math.Sqrt(norm); norm > 0 {
		for j, x := range v {
			out[j] = float32(float64(x) / norm)
		}
	}
	return true
}
