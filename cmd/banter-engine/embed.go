//go:build native

package main

/*
#include <stdlib.h>
#include <llama.h>
#include "watch.h"

// open_embedder makes a context that pools the outputs of each of many texts at a time. The model's own way to pool is
// taken, and the mean over the tokens where it has none.
static struct llama_context *open_embedder(struct llama_model *m, uint32_t tokens, uint32_t texts, int threads, struct lm_watch *w) {
	struct llama_context_params p = llama_context_default_params();
	p.n_ctx = tokens;
	p.n_batch = tokens;
	p.n_ubatch = tokens; // pooling needs a text in one piece
	p.n_seq_max = texts;
	p.kv_unified = true; // texts differ in length
	p.n_threads = threads;
	p.n_threads_batch = threads;
	p.embeddings = true;
	p.no_perf = true;
	p.abort_callback = lm_abort;
	p.abort_callback_data = w;
	struct llama_context *c = llama_init_from_model(m, p);
	if (c && llama_pooling_type(c) == LLAMA_POOLING_TYPE_NONE) {
		llama_free(c);
		p.pooling_type = LLAMA_POOLING_TYPE_MEAN;
		c = llama_init_from_model(m, p);
	}
	return c;
}

// feed_texts reads n tokens; text[i] is the number of the text that token i belongs to, at its position pos[i].
static int feed_texts(struct llama_context *c, const llama_token *tokens, const int32_t *text, const int32_t *pos, int n) {
	struct llama_batch b = llama_batch_init(n, 0, 1);
	b.n_tokens = n;
	for (int i = 0; i < n; i++) {
		b.token[i] = tokens[i];
		b.pos[i] = pos[i];
		b.n_seq_id[i] = 1;
		b.seq_id[i][0] = text[i];
		b.logits[i] = 1;
	}
	llama_memory_clear(llama_get_memory(c), true);
	int rc = llama_decode(c, b);
	llama_batch_free(b);
	return rc;
}
*/
import "C"

import (
	"context"
	"encoding/json"
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
	if err := json.Unmarshal(r.Params, &p); err != nil {
		return nil, nil, err
	}
	m, done, err := useLM(&p.LMParams)
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
	s := &session{m: m, batch: native.MaxEmbedTokens, done: make(chan struct{}), quit: make(chan struct{})}
	s.watch = (*C.struct_lm_watch)(C.calloc(1, C.size_t(unsafe.Sizeof(C.struct_lm_watch{}))))
	takeError("")
	s.c = C.open_embedder(m.c, C.uint32_t(s.batch), embedTexts, threads(p.Threads), s.watch)
	if s.c == nil {
		C.free(unsafe.Pointer(s.watch))
		return nil, &worker.Failure{Path: m.path, Message: "llama.cpp could not make room for its work: " + takeError("no reason given"), Fix: "use a smaller model"}
	}
	s.heed(ctx)
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
	takeError("")
	rc := C.feed_texts(s.c, &ids[0], &text[0], &pos[0], C.int(len(ids)))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if rc != 0 {
		return &worker.Failure{Path: s.m.path, Message: fmt.Sprintf("llama.cpp gave up with code %d: %s", int(rc), takeError("no reason given"))}
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
