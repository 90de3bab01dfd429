package chat

import "time"

// removals are deletions that a log tells of after the messages they concern.
type removals struct {
	ids     map[string]struct{}
	authors map[string]moment // by the author's id or login
	all     moment            // of messages by whoever
}

// moment is when a removal happened: what was written before it is gone. The wall clock tells, since some programs write
// the newest record first, or else the place in the log.
type moment struct {
	sent     time.Time // zero where the log does not say
	position int64
}

func (at moment) covers(m *Message) bool {
	if !at.sent.IsZero() && !m.Sent.IsZero() {
		return !m.Sent.After(at.sent)
	}
	return m.Position < at.position
}

// later is the later of two moments.
func (at moment) later(other moment) moment {
	if !at.sent.IsZero() && !other.sent.IsZero() && at.sent.After(other.sent) {
		return at
	}
	return other
}

// maxRemovals bounds the deletions that are remembered.
const maxRemovals = 4 << 20

func (r *removals) message(id string) {
	if id == "" || len(r.ids) >= maxRemovals {
		return
	}
	if r.ids == nil {
		r.ids = map[string]struct{}{}
	}
	r.ids[id] = struct{}{}
}

func (r *removals) author(key string, at moment) {
	if key == "" || len(r.authors) >= maxRemovals {
		return
	}
	if r.authors == nil {
		r.authors = map[string]moment{}
	}
	r.authors[key] = r.authors[key].later(at)
}

func (r *removals) everything(at moment) { r.all = r.all.later(at) }

func (r *removals) covers(m *Message) bool {
	if r.all.covers(m) {
		return true
	}
	if _, ok := r.ids[m.ID]; ok {
		return true
	}
	if at, ok := r.authors[m.Author.ID]; ok && at.covers(m) {
		return true
	}
	at, ok := r.authors[m.Author.Login]
	return ok && m.Author.Login != "" && at.covers(m)
}
