package align

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"banter/internal/problem"
	"banter/internal/progress"
	"banter/stdlib/chat"
	"banter/stdlib/speech"
)

// Align pairs the messages of each stream with the speech that they answer.
func Align(ctx context.Context, in []Input, opt Options) (*Result, error) {
	n := 0
	for i := range in {
		n += len(in[i].Messages)
	}
	used, err := opt.withDefaults(n)
	if err != nil {
		return nil, &problem.Error{Op: "align", Err: err}
	}
	ids := map[string]bool{}
	for i := range in {
		if ids[in[i].Stream] {
			return nil, &problem.Error{Op: "align", Err: fmt.Errorf("two streams have the id %q", in[i].Stream), Fix: "give every stream an id of its own"}
		}
		ids[in[i].Stream] = true
	}
	res := &Result{Options: used}
	done := 0
	for _, crowd := range crowds(in) {
		n := 0
		for _, s := range crowd {
			n += len(s.Messages)
		}
		opt, err := opt.withDefaults(n)
		if err != nil {
			return nil, &problem.Error{Op: "align", Err: err}
		}
		c := newCorpus(crowd, &opt)
		for _, tr := range c.tracks {
			if err := c.estimateLag(ctx, tr); err != nil {
				return nil, fmt.Errorf("align %s: %w", tr.in.Stream, err)
			}
		}
		m, err := fit(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("align: %w", err)
		}
		for k, tr := range c.tracks {
			s, err := m.result(ctx, tr)
			if err != nil {
				return nil, fmt.Errorf("align %s: %w", tr.in.Stream, err)
			}
			s.model, s.track = m, k
			res.Streams = append(res.Streams, s)
			done++
			progress.Tell(ctx, progress.Report{Done: int64(done), Total: int64(len(in)), Unit: "streams", Note: "attribute messages"})
		}
	}
	slices.SortFunc(res.Streams, func(a, b StreamResult) int { return cmp.Compare(a.Stream, b.Stream) })
	return res, nil
}

// verdict is what is kept of a scored target.
type verdict struct {
	first, last int32 // sources [first, last] of the window, by number; -1 where there is no candidate
	best        int32
	window      float64 // probability that it answers speech in the window
	reply       float64 // probability that it answers speech at all
	delay, lag  float64 // of the best source
}

// window picks the best source and the contiguous run of sources around it that holds most of the answer's probability
// and is no longer than allowed.
func (m *model) window(from *track, s *scored) verdict {
	v := verdict{first: -1, last: -1, best: -1, reply: s.reply}
	if len(s.cand) == 0 {
		return v
	}
	top := 0
	for i := range s.cand {
		if s.cand[i].r > s.cand[top].r {
			top = i
		}
	}
	// candidates are in order of arrival: by number they may stand apart
	mass := func(j int32) float64 {
		for i := range s.cand {
			if s.cand[i].src == j {
				return s.cand[i].r
			}
		}
		return 0
	}
	v.best, v.delay, v.lag = s.cand[top].src, s.cand[top].delay, s.cand[top].lag
	v.first, v.last, v.window = v.best, v.best, s.cand[top].r
	if m.c.opt.Direction == SpeechToChat {
		limit := m.c.opt.MaxWindow.Seconds() - leastPad
		for s.reply > 0 && v.window < 0.97*s.reply {
			span := func(a, b int32) bool {
				return a >= 0 && int(b) < len(from.src) && from.src[b].end-from.src[a].start <= limit
			}
			left, right := -1.0, -1.0
			if span(v.first-1, v.last) {
				left = mass(v.first - 1)
			}
			if span(v.first, v.last+1) {
				right = mass(v.last + 1)
			}
			g := math.Max(left, right)
			if g < 0.02*s.reply {
				break
			}
			if left >= right {
				v.first--
			} else {
				v.last++
			}
			v.window += g
		}
	}
	return v
}

const leastPad = 0.5 // s of silence that a window has room for, both sides together

// result makes the final pass over one track.
func (m *model) result(ctx context.Context, tr *track) (StreamResult, error) {
	opt := m.c.opt
	real, err := m.verdicts(ctx, tr, tr, 0)
	if err != nil {
		return StreamResult{}, err
	}
	var decoys [][]float32 // confidence of every target beside shifted speech
	for _, shift := range decoyShifts(opt, tr, opt.Decoys) {
		d, err := m.verdicts(ctx, tr, tr, shift)
		if err != nil {
			return StreamResult{}, err
		}
		windows := make([]float32, len(d))
		for i := range d {
			windows[i] = float32(d[i].window)
		}
		decoys = append(decoys, windows)
	}
	conf := make([]float64, len(real))
	for i := range real {
		conf[i] = real[i].window
	}
	fdr, curve := m.fdr(tr, real, decoys, conf)
	out := StreamResult{Stream: tr.in.Stream, FDR: curve}
	texts := map[[2]int]string{}
	hashes := map[string]string{}
	n := 0
	for i := range real {
		if real[i].best >= 0 {
			n++
		}
	}
	out.Pairs = make([]Pair, 0, n)
	for i := range real {
		if v := &real[i]; v.best >= 0 {
			p := m.pair(tr, &tr.tgt[i], v, texts, hashes)
			p.Confidence, p.FDR = conf[i], fdr[i]
			out.Pairs = append(out.Pairs, p)
		}
	}
	m.describe(tr, real, &out)
	return out, nil
}

// verdicts scores all targets of a track.
func (m *model) verdicts(ctx context.Context, tr, from *track, shift float64) ([]verdict, error) {
	out := make([]verdict, len(tr.tgt))
	parallel(len(tr.tgt), m.c.opt.Workers, func(_, lo, hi int, buf *scratch) {
		var s scored
		for i := lo; i < hi; i++ {
			if i%256 == 0 && ctx.Err() != nil {
				return
			}
			t := &tr.tgt[i]
			m.score(tr, t, from, shift, &s, buf)
			out[i] = m.window(from, &s)
		}
	})
	return out, ctx.Err()
}

// pair writes a verdict down. texts and hashes keep what many pairs share.
func (m *model) pair(tr *track, t *target, v *verdict, texts map[[2]int]string, hashes map[string]string) Pair {
	var msg *chat.Message
	var first, last int // utterances
	if m.c.opt.Direction == SpeechToChat {
		msg = &tr.in.Messages[t.index]
		first, last = int(tr.src[v.first].index), int(tr.src[v.first].index)
		for j := v.first; j <= v.last; j++ {
			first, last = min(first, int(tr.src[j].index)), max(last, int(tr.src[j].index))
		}
	} else {
		msg = &tr.in.Messages[tr.src[v.best].index]
		first, last = int(t.index), int(t.index)
	}
	words := tr.in.Transcript.Words
	a, b := tr.utts[first], tr.utts[last]
	author := authorKey(&msg.Author)
	hash, ok := hashes[author]
	if !ok {
		hash = authorHash(m.c.opt.Salt, author)
		hashes[author] = hash
	}
	p := Pair{
		Stream: tr.in.Stream, MessageID: msg.ID, AuthorHash: hash,
		FirstWord: a.First, LastWord: b.Last, Response: msg.Text, MessageTime: msg.Time,
		Delay:       time.Duration(math.Round(v.delay*1e6)) * time.Microsecond,
		AuthorRoles: msg.Author.Roles, Emotes: len(msg.Emotes), EmoteOnly: emoteOnly(msg), Deleted: msg.Deleted,
		ReplyTo: msg.ReplyTo, Bits: msg.Bits, SpeechProb: meanProb(words[a.First:b.Last]),
	}
	p.SpeechStart, p.SpeechEnd = tr.padded(first, last, m.c.opt.MaxWindow)
	lag := v.lag
	if m.c.opt.Direction == ChatToSpeech {
		lag = -lag
	}
	p.Lag = time.Duration(math.Round(lag*1e6)) * time.Microsecond
	key := [2]int{p.FirstWord, p.LastWord}
	text, ok := texts[key]
	if !ok {
		text = tr.text(p.FirstWord, p.LastWord)
		texts[key] = text
	}
	p.Speech = text
	return p
}

// text gives words [first, last) as one line, without those of gated segments.
func (tr *track) text(first, last int) string {
	var sb strings.Builder
	for i := first; i < last; i++ {
		if gated(tr.in.Transcript, i) {
			continue
		}
		if sb.Len() > 0 {
			sb.WriteByte(' ')
		}
		sb.WriteString(tr.in.Transcript.Words[i].Text)
	}
	return sb.String()
}

// seconds is a float of seconds as a duration, to the millisecond.
func seconds(x float64) time.Duration { return time.Duration(math.Round(x*1000)) * time.Millisecond }

// emoteOnly says whether a text is emotes and space, nothing else.
func emoteOnly(m *chat.Message) bool {
	at := 0
	for _, e := range m.Emotes {
		if e.Start < at || e.End > len(m.Text) || strings.TrimSpace(m.Text[at:e.Start]) != "" {
			return false
		}
		at = e.End
	}
	return at > 0 && strings.TrimSpace(m.Text[at:]) == ""
}

// meanProb is the mean probability of words that have one, -1 where none has.
func meanProb(words []speech.Word) float64 {
	sum, n := 0.0, 0
	for _, w := range words {
		if w.Prob >= 0 {
			sum += w.Prob
			n++
		}
	}
	if n == 0 {
		return -1
	}
	return sum / float64(n)
}

// padded gives the bounds of a window with the silence around its words, up to maxPad, never into another word.
func (tr *track) padded(first, last int, limit time.Duration) (start, end time.Duration) {
	words := tr.in.Transcript.Words
	a, b := tr.utts[first], tr.utts[last]
	start, end = a.Start, b.End
	before, after := maxPad, maxPad
	if a.First > 0 {
		before = min(before, max(0, start-words[a.First-1].End))
	}
	if b.Last < len(words) {
		after = min(after, max(0, words[b.Last].Start-end))
	}
	if room := limit - (end - start); before+after > room {
		before, after = max(0, min(before, room/2)), max(0, min(after, room/2))
	}
	before = min(before, max(0, start))
	return start - before, end + after
}

// authorHash hides who wrote: a salted digest of the platform's id.
func authorHash(salt, author string) string {
	h := sha256.Sum256([]byte(salt + "\x00" + author))
	return hex.EncodeToString(h[:12])
}

// describe fills in what the stream's result says besides its pairs.
func (m *model) describe(tr *track, real []verdict, out *StreamResult) {
	sign := 1.0
	if m.c.opt.Direction == ChatToSpeech {
		sign = -1
	}
	for i, p := range tr.curve {
		from := p.from
		if sign < 0 {
			from += p.lag
		}
		lp := LagPiece{From: seconds(from) + tr.t0, Lag: seconds(sign * p.lag), Lo: seconds(sign * p.lo), Hi: seconds(sign * p.hi)}
		if i == 0 {
			lp.From = 0
		}
		if lp.Lo > lp.Hi {
			lp.Lo, lp.Hi = lp.Hi, lp.Lo
		}
		out.Lag = append(out.Lag, lp)
	}
	d := &out.Diagnostics
	d.Words, d.Utterances, d.Messages = 0, len(tr.utts), len(tr.in.Messages)
	if tr.in.Transcript != nil {
		d.Words = len(tr.in.Transcript.Words)
	}
	d.Candidates = len(out.Pairs)
	d.Classes = map[string]int{}
	for i := range tr.tgt {
		if m.c.opt.Direction == SpeechToChat {
			d.Classes[tr.tgt[i].class.String()]++
		}
		d.Answers += real[i].reply
	}
	fit := m.fits[tr.number]
	pi := 0.0
	if len(tr.tgt) > 0 {
		pi = d.Answers / float64(len(tr.tgt))
	}
	out.Delay = Delay{Law: fit.law.name(), Mu: fit.mu, Sigma: fit.sigma, Early: fit.early, Pi: pi, Background: (float64(len(tr.tgt)) - d.Answers) / math.Max(1, tr.last-tr.first),
		LogLik: fit.logEvidence, OtherLaw: fit.other.name(), OtherLogL: fit.otherLog}
	d.LinkScore = tr.linkScore
	if m.c.opt.Ranker == TreeRanker {
		d.Ranker = &m.ranked
	}
	note := func(format string, args ...any) { d.Notes = append(d.Notes, fmt.Sprintf(format, args...)) }
	lag, z, err := tr.activityLag(-30, 60)
	switch {
	case err != nil:
		note("the lag by activity is not known: %v", err)
	default:
		d.ActivityAt, d.ActivityZ = seconds(sign*lag), z
	}
	switch {
	case d.Words == 0:
		note("there is no speech in the transcript: no message can be paired")
	case d.Messages == 0:
		note("there is no chat: nothing to pair")
	case d.Messages < 30:
		note("%d messages are too few to learn how chat answers: confidence rests on shared words and the usual delays", d.Messages)
	}
	if d.Words > 0 && d.Messages > 0 && !tr.linkedAtAll() {
		note("nothing gives a sign of a link between speech and chat (score %.1f, want %.1f): check that recording and chat belong together", d.LinkScore, minLinkScore)
	}
}
