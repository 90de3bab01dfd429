package chat

// removals are deletions that a log tells of after the messages they concern.
type removals struct {
	ids     map[string]struct{}
	authors map[string]int64 // author's id or login: messages that start before this position are gone
	all     int64            // messages that start before this position are gone, whoever wrote them
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

func (r *removals) author(key string, position int64) {
	if key == "" || len(r.authors) >= maxRemovals {
		return
	}
	if r.authors == nil {
		r.authors = map[string]int64{}
	}
	r.authors[key] = position
}

func (r *removals) everything(position int64) { r.all = position }

func (r *removals) covers(m *Message) bool {
	if m.Position < r.all {
		return true
	}
	if _, ok := r.ids[m.ID]; ok {
		return true
	}
	if before, ok := r.authors[m.Author.ID]; ok && m.Position < before {
		return true
	}
	before, ok := r.authors[m.Author.Login]
	return ok && m.Author.Login != "" && m.Position < before
}
