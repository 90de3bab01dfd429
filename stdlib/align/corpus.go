package align

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"strings"
	"time"
	"unicode"

	"banter/stdlib/chat"
	"banter/stdlib/speech"
)

// Input is one stream: what was said and what was written.
type Input struct {
	Stream     string // id, unique within a call
	Transcript *speech.Transcript
	Messages   []chat.Message
}

// corpus is all streams of a call in the form that the model works on. Times are seconds since the first word of the
// stream, so that a shift of both clocks changes no bit of what follows.
type corpus struct {
	opt    *Options
	tracks []*track
	vocab  map[string]int32
	df     [2][]float64 // in how many sources and in how many targets a token occurs, by token id
	docs   [2]float64   // sources and targets in all
	// idf is how telling it is that a token is shared: log of documents over those that hold it, both sides together.
	idf []float64
	// rarity weighs the words of a source: function words say little about what is answered.
	rarity  []float64
	authors int     // distinct authors of all streams
	habit   []uint8 // by author: log2 of how many messages the author wrote, up to habits-1

	embedded *embedded // nil without an embedder

	authorNames [][]int32 // by author: tokens of the name's parts, so that speech that says them can be told
}

// Sides of the corpus in corpus.df: sources cause, targets answer.
const (
	sources = 0
	targets = 1
)

// track is one stream. Sources are in order of end, targets in order of time.
type track struct {
	in     *Input
	number int           // index into corpus.tracks
	t0     time.Duration // stream time of second 0
	utts   []Utterance
	src    []source
	tgt    []target
	ids    []int32   // token ids of sources and targets, one run each
	ends   []float32 // for ids of sources: seconds from the source's end back to the word's end
	first  float64   // seconds of the first and last source or target
	last   float64

	curve     []piece // the lag
	arrive    []float64
	byArrive  []int32
	rate      float64 // background targets a second
	answers   float64 // answers a source
	linkScore float64 // evidence for any link at all, in standard deviations of the shifted ones
	lagSet    bool    // the caller gave the lag
	openReach float64 // s by which lags that are open may differ from the curve
}

// source is what may be answered: an utterance (or a message, when speech answers chat).
type source struct {
	start, end float64
	lo, hi     int32   // track.ids
	rarity     float64 // sum over its words
	number     int32   // index into track.src
	question   bool
	index      int32 // into track.utts, or Input.Messages
}

// target is what may be an answer: a message (or an utterance).
type target struct {
	t        float64
	lo, hi   int32 // track.ids, distinct
	whole    int32 // token id of the whole text, -1 where it is one word
	author   int32 // -1 where there is none
	index    int32 // into Input.Messages, or track.utts
	words    uint8
	class    class
	fold     uint8
	question bool
	same     uint16 // other targets with the same text within 15 s before or after
	burst    float32
	lags     []openLag // in a quiet chat, once they are known
}

func (tr *track) sourceIDs(s *source) []int32  { return tr.ids[s.lo:s.hi] }
func (tr *track) targetIDs(tg *target) []int32 { return tr.ids[tg.lo:tg.hi] }

// id gives the number of a token, a new one where it is new.
func (c *corpus) id(token string) int32 {
	if n, ok := c.vocab[token]; ok {
		return n
	}
	n := int32(len(c.vocab))
	c.vocab[strings.Clone(token)] = n
	return n
}

// newCorpus reads the streams of one crowd.
func newCorpus(in []*Input, opt *Options) *corpus {
	c := &corpus{opt: opt, vocab: map[string]int32{}}
	hosts := map[string]bool{}
	for _, h := range opt.Hosts {
		hosts[strings.ToLower(strings.TrimPrefix(h, "@"))] = true
	}
	authors := map[string]int32{}
	for i, s := range in {
		for k := range s.Messages {
			if a := &s.Messages[k].Author; a.Roles&chat.Broadcaster != 0 && a.Name != "" {
				hosts[strings.ToLower(a.Name)] = true
			}
		}
		tr := c.newTrack(s, hosts, authors)
		tr.number = i
		c.tracks = append(c.tracks, tr)
	}
	c.authors = len(authors)
	c.countAuthors()
	c.count()
	return c
}

func (c *corpus) newTrack(in *Input, hosts map[string]bool, authors map[string]int32) *track {
	tr := &track{in: in, utts: Utterances(in.Transcript)}
	if len(tr.utts) > 0 {
		tr.t0 = tr.utts[0].Start
	} else if len(in.Messages) > 0 {
		tr.t0 = in.Messages[0].Time
		for _, m := range in.Messages {
			tr.t0 = min(tr.t0, m.Time)
		}
	}
	spoken := make([]source, len(tr.utts))
	for i, u := range tr.utts {
		spoken[i] = c.spoken(tr, u, i)
	}
	written := make([]target, 0, len(in.Messages))
	for i := range in.Messages {
		written = append(written, c.written(tr, i, hosts, authors))
	}
	slices.SortStableFunc(written, func(a, b target) int {
		ma, mb := &in.Messages[a.index], &in.Messages[b.index]
		return cmp.Or(cmp.Compare(a.t, b.t), cmp.Compare(ma.Position, mb.Position), cmp.Compare(ma.ID, mb.ID))
	})
	tr.judge(written)
	if c.opt.Direction == SpeechToChat {
		tr.src, tr.tgt = spoken, written
	} else {
		tr.src, tr.tgt = asSources(written), asTargets(tr, spoken)
	}
	slices.SortStableFunc(tr.src, func(a, b source) int { return cmp.Compare(a.end, b.end) })
	for i, s := range tr.src {
		tr.src[i].number = int32(i)
		if i == 0 || s.start < tr.first {
			tr.first = s.start
		}
		tr.last = max(tr.last, s.end)
	}
	for _, t := range tr.tgt {
		tr.first, tr.last = min(tr.first, t.t), max(tr.last, t.t)
	}
	return tr
}

// spoken reads one utterance.
func (c *corpus) spoken(tr *track, u Utterance, index int) source {
	s := source{start: (u.Start - tr.t0).Seconds(), end: (u.End - tr.t0).Seconds(), lo: int32(len(tr.ids)), index: int32(index)}
	for i := u.First; i < u.Last && len(tr.ids)-int(s.lo) < maxTokens; i++ {
		w := &tr.in.Transcript.Words[i]
		for _, part := range strings.FieldsFunc(w.Text, func(r rune) bool { return r == '-' || r == '/' || r == ' ' }) {
			if n := normalise(part); n != "" {
				id := c.id(n)
				back := float32((u.End - w.End).Seconds())
				if k := slices.Index(tr.ids[s.lo:], id); k >= 0 {
					tr.ends[int(s.lo)+k] = back // said again: the later one counts
					continue
				}
				tr.ids, tr.ends = append(tr.ids, id), append(tr.ends, back)
			}
		}
	}
	s.hi = int32(len(tr.ids))
	last := tr.in.Transcript.Words[u.Last-1].Text
	s.question = strings.ContainsRune(last, '?') || strings.ContainsRune(last, '？')
	return s
}

// written reads one message.
func (c *corpus) written(tr *track, index int, hosts map[string]bool, authors map[string]int32) target {
	m := &tr.in.Messages[index]
	key := authorKey(&m.Author)
	author, ok := authors[key]
	if !ok {
		author = int32(len(authors))
		authors[key] = author
		c.authorNames = append(c.authorNames, c.nameTokens(m.Author.Name))
	}
	words := messageWords(m)
	if !c.opt.has("emote") {
		words = slices.DeleteFunc(words, func(w string) bool { return w[0] == ':' })
	}
	t := target{
		t: (m.Time - tr.t0).Seconds(), lo: int32(len(tr.ids)), whole: -1, author: author, index: int32(index),
		words: uint8(min(len(words), 255)), class: classOf(m, hosts), question: strings.ContainsAny(m.Text, "?？"),
	}
	for _, w := range words {
		if id := c.id(w); !slices.Contains(tr.ids[t.lo:], id) {
			tr.ids, tr.ends = append(tr.ids, id), append(tr.ends, 0)
		}
	}
	t.hi = int32(len(tr.ids))
	if len(words) > 0 {
		t.whole = c.id("=" + strings.Join(words, " "))
	}
	return t
}

// authorKey is what tells authors apart.
func authorKey(a *chat.Author) string {
	if a.ID == "" {
		return "\x00" + a.Name
	}
	return a.ID
}

// nameTokens gives the parts of a display name that somebody could say: "Late_Lemon42" is late and lemon.
func (c *corpus) nameTokens(name string) []int32 {
	var out []int32
	for _, part := range strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) }) {
		if n := normalise(part); len(n) >= 4 && len(out) < 4 {
			out = append(out, c.id(n))
		}
	}
	if n := normalise(name); len(n) >= 4 {
		out = append(out, c.id(n))
	}
	return out
}

func asSources(written []target) []source {
	out := make([]source, 0, len(written))
	for _, t := range written {
		if t.class == plain || t.class == chatReply {
			out = append(out, source{start: t.t, end: t.t, lo: t.lo, hi: t.hi, question: t.question, index: t.index})
		}
	}
	return out
}

func asTargets(tr *track, spoken []source) []target {
	out := make([]target, len(spoken))
	for i, s := range spoken {
		out[i] = target{t: s.start, lo: s.lo, hi: s.hi, whole: -1, author: -1, index: s.index, words: uint8(s.hi - s.lo), question: s.question}
	}
	slices.SortStableFunc(out, func(a, b target) int { return cmp.Compare(a.t, b.t) })
	return out
}

// judge finds repeated texts, copypasta, bots by behaviour and bursts among the messages of one stream, in order of time.
func (tr *track) judge(msgs []target) {
	byText := make([]int32, len(msgs))
	for i := range byText {
		byText[i] = int32(i)
	}
	slices.SortStableFunc(byText, func(a, b int32) int { return cmp.Compare(msgs[a].whole, msgs[b].whole) })
	type habit struct{ all, automatic int }
	habits := map[int32]habit{}
	said := map[[2]int32]bool{} // author, text
	for lo := 0; lo < len(byText); {
		hi := lo
		for hi < len(byText) && msgs[byText[hi]].whole == msgs[byText[lo]].whole {
			hi++
		}
		run := byText[lo:hi]
		a, b := 0, 0
		for _, i := range run {
			for msgs[run[a]].t < msgs[i].t-15 {
				a++
			}
			for b < len(run) && msgs[run[b]].t <= msgs[i].t+15 {
				b++
			}
			m := &msgs[i]
			if m.whole < 0 {
				continue
			}
			m.same = uint16(min(b-a-1, 65535))
			if m.class == plain && m.words >= 8 && m.same >= 2 {
				m.class = pasta
			}
		}
		lo = hi
	}
	lastCommand := -1e18
	for i := range msgs {
		m := &msgs[i]
		if m.class == command {
			lastCommand = m.t
		}
		h := habits[m.author]
		h.all++
		key := [2]int32{m.author, m.whole}
		if m.class == plain && m.words >= 4 && (m.t-lastCommand < 3 || said[key]) {
			h.automatic++
		}
		said[key] = true
		habits[m.author] = h
	}
	a, b := 0, 0
	perSecond := 0.0
	if n := len(msgs); n > 1 && msgs[n-1].t > msgs[0].t {
		perSecond = float64(n) / (msgs[n-1].t - msgs[0].t)
	}
	for i := range msgs {
		m := &msgs[i]
		if h := habits[m.author]; m.class == plain && h.all >= 4 && h.automatic*10 >= h.all*6 {
			m.class = serviceBot
		}
		for msgs[a].t < m.t-2.5 {
			a++
		}
		for b < len(msgs) && msgs[b].t <= m.t+2.5 {
			b++
		}
		expect := 5 * perSecond
		m.burst = float32((float64(b-a) - expect) / max(1, expect))
	}
}

// habits is the number of classes of authors by how much they write.
const habits = 6

// countAuthors puts every author into a class by the number of messages.
func (c *corpus) countAuthors() {
	wrote := make([]uint, c.authors)
	for _, tr := range c.tracks {
		for i := range tr.tgt {
			if a := tr.tgt[i].author; a >= 0 {
				wrote[a]++
			}
		}
	}
	c.habit = make([]uint8, c.authors)
	for a, n := range wrote {
		c.habit[a] = uint8(min(habits, max(1, bits.Len(n)))) - 1
	}
}

// count fills in document frequencies and what follows from them.
func (c *corpus) count() {
	n := len(c.vocab)
	c.df = [2][]float64{make([]float64, n), make([]float64, n)}
	for _, tr := range c.tracks {
		for i := range tr.src {
			for _, id := range tr.sourceIDs(&tr.src[i]) {
				c.df[sources][id]++
			}
		}
		for i := range tr.tgt {
			t := &tr.tgt[i]
			for _, id := range tr.targetIDs(t) {
				c.df[targets][id]++
			}
			if t.whole >= 0 {
				c.df[targets][t.whole]++
			}
		}
		c.docs[sources] += float64(len(tr.src))
		c.docs[targets] += float64(len(tr.tgt))
	}
	c.idf, c.rarity = make([]float64, n), make([]float64, n)
	for id := range n {
		c.idf[id] = math.Log((c.docs[0] + c.docs[1] + 1) / (c.df[0][id] + c.df[1][id] + 1))
		c.rarity[id] = math.Max(0.05, math.Log((c.docs[sources]+2)/(c.df[sources][id]+1)))
	}
	for _, tr := range c.tracks {
		for i := range tr.src {
			s := &tr.src[i]
			for _, id := range tr.sourceIDs(s) {
				s.rarity += c.rarity[id]
			}
		}
	}
}
