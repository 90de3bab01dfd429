//go:build native

package main

/*
#include <stdlib.h>
#include <llama.h>
#include "watch.h"

// open_context makes a context that decodes n_batch of its n_ctx tokens at a time. With texts, it pools the outputs of each
// of so many texts at a time: in the model's own way, and by the mean over the tokens where it has none.
static struct llama_context *open_context(struct llama_model *m, uint32_t n_ctx, uint32_t n_batch, uint32_t n_outputs,
		uint32_t texts, int threads, struct lm_watch *w) {
	struct llama_context_params p = llama_context_default_params();
	p.n_ctx = n_ctx;
	p.n_batch = n_batch;
	p.n_ubatch = n_batch; // pooling needs a text in one piece
	p.n_threads = threads;
	p.n_threads_batch = threads;
	p.no_perf = true;
	p.abort_callback = lm_abort;
	p.abort_callback_data = w;
	p.n_outputs_max = n_outputs; // 0: all of a batch
	if (!texts) return llama_init_from_model(m, p);
	p.n_seq_max = texts;
	p.kv_unified = true; // texts differ in length
	p.embeddings = true;
	struct llama_context *c = llama_init_from_model(m, p);
	if (c && llama_pooling_type(c) == LLAMA_POOLING_TYPE_NONE) {
		llama_free(c);
		p.pooling_type = LLAMA_POOLING_TYPE_MEAN;
		c = llama_init_from_model(m, p);
	}
	return c;
}

// feed reads n tokens; text[i] is the number of the text that token i belongs to, at its position pos[i]. With all set,
// each of them gives an output, else the last alone.
static int feed(struct llama_context *c, const llama_token *tokens, const int32_t *text, const int32_t *pos, int n, bool all) {
	struct llama_batch b = llama_batch_init(n, 0, 1);
	b.n_tokens = n;
	for (int i = 0; i < n; i++) {
		b.token[i] = tokens[i];
		b.pos[i] = pos[i];
		b.n_seq_id[i] = 1;
		b.seq_id[i][0] = text[i];
		b.logits[i] = all || i == n - 1;
	}
	int rc = llama_decode(c, b);
	llama_batch_free(b);
	return rc;
}
*/
import "C"

import (
	"context"
	"fmt"
	"math"
	"unsafe"

	"banter/internal/worker"
	"banter/internal/worker/native"
)

// session is a context of a model, for one call.
type session struct {
	m     *lmModel
	c     *C.struct_llama_context
	batch int // tokens that are decoded at a time
	watch *C.struct_lm_watch
	done  chan struct{} // closed by close
	quit  chan struct{} // closed when nobody touches watch any longer
}

// openSession makes room for tokens, of which batch are decoded at a time; outputs of these give logits, or, where texts is
// not zero, those of so many texts are pooled. Its work stops soon after ctx is done.
func (m *lmModel) openSession(ctx context.Context, p *native.LMParams, tokens, batch, outputs, texts int) (*session, error) {
	s := &session{m: m, batch: batch, done: make(chan struct{}), quit: make(chan struct{})}
	s.watch = (*C.struct_lm_watch)(C.calloc(1, C.size_t(unsafe.Sizeof(C.struct_lm_watch{}))))
	takeError("")
	s.c = C.open_context(m.c, C.uint32_t(tokens), C.uint32_t(batch), C.uint32_t(outputs), C.uint32_t(texts), threads(p.Threads), s.watch)
	if s.c == nil {
		C.free(unsafe.Pointer(s.watch))
		return nil, &worker.Failure{Path: m.path, Message: "llama.cpp could not make room for its work: " + takeError("no reason given"), Fix: "use a smaller model or a shorter text"}
	}
	go func() {
		defer close(s.quit)
		select {
		case <-s.done:
		case <-ctx.Done():
			C.lm_stop(s.watch)
		}
	}()
	return s, nil
}

func (s *session) close() {
	close(s.done)
	<-s.quit
	C.llama_free(s.c)
	C.free(unsafe.Pointer(s.watch))
}

// open makes room for a text of n tokens. With outputs set, each token of a batch gives logits and not the last alone.
func (m *lmModel) open(ctx context.Context, p *native.LMParams, n int, outputs bool) (*session, error) {
	if limit := int(C.llama_model_n_ctx_train(m.c)); limit > 0 && n > limit {
		return nil, &worker.Failure{Path: m.path, Message: fmt.Sprintf("%d tokens are more than the %d that the model was trained on", n, limit), Fix: "shorten the text"}
	}
	adapter, err := m.adapter(p.Adapter)
	if err != nil {
		return nil, err
	}
	n = max(n, 1)
	batch, giving := min(n, 512), 1
	if outputs {
		giving = batch
	}
	s, err := m.openSession(ctx, p, n, batch, giving, 0)
	if err != nil || adapter == nil {
		return s, err
	}
	scale := C.float(p.Scale)
	if scale == 0 {
		scale = 1
	}
	if C.llama_set_adapters_lora(s.c, &adapter, 1, &scale) != 0 {
		s.close()
		return nil, &worker.Failure{Path: p.Adapter, Message: "the adapter cannot be used: " + takeError("no reason given")}
	}
	return s, nil
}

// feed has the model read tokens: text is the number of the text that each belongs to, and pos its place there. With all
// set, each of them gives an output, else the last alone.
func (s *session) feed(ctx context.Context, ids []C.llama_token, text, pos []C.int32_t, all bool) error {
	takeError("")
	rc := C.feed(s.c, &ids[0], &text[0], &pos[0], C.int(len(ids)), C.bool(all))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if rc != 0 {
		return &worker.Failure{Path: s.m.path, Message: fmt.Sprintf("llama.cpp gave up with code %d: %s", int(rc), takeError("no reason given"))}
	}
	return nil
}

// decode reads ids, which stand at position from and after. With each, every token gives an output, and each is called for
// the i-th id while its output, number row of its batch, is there; otherwise only the last one gives an output.
func (s *session) decode(ctx context.Context, ids []C.llama_token, from int, each func(i, row int) error) error {
	text, pos := make([]C.int32_t, s.batch), make([]C.int32_t, s.batch) // all is one text
	for at := 0; at < len(ids); at += s.batch {
		part := ids[at:min(at+s.batch, len(ids))]
		for i := range part {
			pos[i] = C.int32_t(from + at + i)
		}
		if err := s.feed(ctx, part, text, pos, each != nil); err != nil {
			return err
		}
		if each == nil {
			continue
		}
		for row := range part {
			if err := each(at+row, row); err != nil {
				return err
			}
		}
	}
	return nil
}

// logits returns those after the i-th token of the last batch, -1 being the last. They are valid until the next feed.
func (s *session) logits(i int) []float32 {
	return unsafe.Slice((*float32)(C.llama_get_logits_ith(s.c, C.int32_t(i))), int(C.llama_vocab_n_tokens(s.m.vocab)))
}

// logProb is the logarithm of the softmax of logits at id.
func logProb(logits []float32, id C.llama_token) float64 {
	top := logits[0]
	for _, v := range logits {
		top = max(top, v)
	}
	var sum float64
	for _, v := range logits {
		sum += math.Exp(float64(v - top))
	}
	return float64(logits[id]-top) - math.Log(sum)
}
