// A flag that stops llama.cpp's work from another thread.
#ifndef BANTER_WATCH_H
#define BANTER_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>

struct lm_watch { atomic_int stop; };

static inline bool lm_abort(void *user) { return atomic_load(&((struct lm_watch *)user)->stop) != 0; }
static inline void lm_stop(struct lm_watch *w) { atomic_store(&w->stop, 1); }

#endif
