package speech

import (
	"context"
	"math"
	"time"

	"banter/internal/worker/native"
)

// Recognisers skip: a window's transcript may pass over seconds of clear speech, or put a remark in their place. What is
// loud but has no words is heard once more by itself.
const (
	skippedLoud  = 60                      // frames of sound without words that are worth another look
	skippedApart = 800 * time.Millisecond  // pauses shorter than this do not part such a stretch
	wordReach    = 250 * time.Millisecond  // sound this near to a word is the word's
	longWord     = 1500 * time.Millisecond // and sound this long after its start is not
	lookAround   = 150 * time.Millisecond  // heard before and after such a stretch
)

// hearAll has the engine transcribe a window, and then what it passed over.
func hearAll(ctx context.Context, engine Engine, w *window, o *Options) (words []heardWord, segments []heardSegment, language string, err error) {
	heard, err := hear(ctx, engine, w, o)
	if err != nil {
		return nil, nil, "", err
	}
	words, segments = assemble(w, heard)
	settle(words, w)
	if w.empty {
		return words, segments, heard.Language, nil
	}
	sounds := newSoundMap(w.loudness)
	for _, gap := range sounds.skipped(words, segments, streamTime(w.start)) {
		from := max(0, int64(gap.from)*frame-samplesIn(lookAround))
		to := min(int64(len(w.samples)), int64(gap.to)*frame+samplesIn(lookAround))
		part := &window{start: w.start + from, samples: w.samples[from:to], loudness: levels(w.samples[from:to])}
		again, err := hear(ctx, engine, part, o)
		if err != nil {
			return nil, nil, "", err
		}
		begin, end := streamTime(part.start), streamTime(part.start+int64(len(part.samples)))
		remarks := remarked(words, len(segments))
		// What stood here was a remark, or a word drawn out over the stretch.
		words, segments, _ = splice(words, segments, part, again, math.Inf(-1), func(w *heardWord) bool {
			mid := w.start + (w.end-w.start)/2
			return (remarks[w.segment] || w.end-w.start > longWord) && mid >= begin && mid < end
		})
	}
	for i := 0; i < len(segments); i++ {
		from, to, doubt, likely := doubtful(words, i, o.Recheck)
		if !doubt {
			continue
		}
		a := max(0, samplesIn(from-streamTime(w.start)-lookAround))
		b := min(int64(len(w.samples)), samplesIn(to-streamTime(w.start)+lookAround))
		if b-a < samplesIn(lookAround) || b-a > samplesIn(maxRecheck) {
			continue
		}
		part := &window{start: w.start + a, samples: w.samples[a:b], loudness: levels(w.samples[a:b])}
		again, err := hear(ctx, engine, part, o)
		if err != nil {
			return nil, nil, "", err
		}
		var more int
		words, segments, more = splice(words, segments, part, again, likely, func(w *heardWord) bool { return w.segment == i })
		i += more
	}
	return words, segments, heard.Language, nil
}

// maxRecheck is the longest segment that is heard again for its doubtful words.
const maxRecheck = 15 * time.Second

// doubtful tells whether a segment has a word less likely than limit, from when to when it goes, and the mean log
// probability of its words.
func doubtful(words []heardWord, segment int, limit float64) (from, to time.Duration, doubt bool, likely float64) {
	n := 0
	for _, w := range words {
		if w.segment != segment {
			continue
		}
		if n == 0 {
			from = w.start
		}
		n++
		to = w.end
		likely += math.Log(w.prob)
		doubt = doubt || w.prob < limit
	}
	return from, to, doubt, likely / float64(max(n, 1))
}

// skipped returns the stretches of sound that no word accounts for. Words of remarks, such as "[BLANK_AUDIO]", account for
// nothing.
func (m *soundMap) skipped(words []heardWord, segments []heardSegment, offset time.Duration) []span {
	covered := make([]bool, len(m.loud))
	remarks := remarked(words, len(segments))
	for _, word := range words {
		if remarks[word.segment] {
			continue
		}
		from := int((word.start - offset - wordReach) / (10 * time.Millisecond))
		to := int((min(word.end, word.start+longWord) - offset + wordReach) / (10 * time.Millisecond))
		for f := max(from, 0); f < min(to, len(covered)); f++ {
			covered[f] = true
		}
	}
	var out []span
	at, count := span{-1, -1}, 0
	finish := func() {
		if count >= skippedLoud {
			out = append(out, at)
		}
		at, count = span{-1, -1}, 0
	}
	for f, loud := range m.loud {
		if covered[f] || at.from >= 0 && f-at.to > int(skippedApart/(10*time.Millisecond)) {
			finish()
		}
		if loud && !covered[f] {
			if at.from < 0 {
				at.from = f
			}
			at.to = f + 1
			count++
		}
	}
	finish()
	return out
}

// remarked tells for each segment whether its text is a remark and not speech.
func remarked(words []heardWord, segments int) []bool {
	text := make([]string, segments)
	for _, w := range words {
		text[w.segment] += " " + w.text
	}
	out := make([]bool, segments)
	for i, t := range text {
		out[i] = annotation(t)
	}
	return out
}

// splice puts what another look at a stretch of a window gave in the place of the words that drop names, if its words are
// likelier than a mean log probability of likely. It returns how many segments there are more than before.
func splice(words []heardWord, segments []heardSegment, part *window, again *native.Transcription, likely float64, drop func(*heardWord) bool) ([]heardWord, []heardSegment, int) {
	found, foundSegments := assemble(part, again)
	settle(found, part)
	remarks := remarked(found, len(foundSegments))
	var fresh []heardWord
	var sum float64
	for _, w := range found {
		if !remarks[w.segment] {
			w.segment += len(segments)
			fresh = append(fresh, w)
			sum += math.Log(w.prob)
		}
	}
	if len(fresh) == 0 || sum/float64(len(fresh)) <= likely {
		return words, segments, 0
	}
	out := make([]heardWord, 0, len(words)+len(fresh))
	placed := false
	for _, w := range words {
		if drop(&w) {
			continue
		}
		if !placed && w.start >= fresh[0].start {
			out, placed = append(out, fresh...), true
		}
		out = append(out, w)
	}
	if !placed {
		out = append(out, fresh...)
	}
	before := len(segments)
	out, segments = inSegments(out, append(segments, foundSegments...))
	return out, segments, len(segments) - before
}

// inSegments numbers segments anew, in the order of their words; one that others' words now part becomes two.
func inSegments(words []heardWord, segments []heardSegment) ([]heardWord, []heardSegment) {
	var out []heardSegment
	last := -1
	for i := range words {
		if words[i].segment != last {
			last = words[i].segment
			out = append(out, segments[last])
		}
		words[i].segment = len(out) - 1
	}
	return words, out
}

// quietShare is the share of a stretch of frames that is not loud.
func (m *soundMap) quietShare(from, to time.Duration) float64 {
	a, b := max(0, int(from/(10*time.Millisecond))), min(len(m.loud), int(to/(10*time.Millisecond)))
	if b <= a {
		return 0
	}
	quiet := 0
	for _, loud := range m.loud[a:b] {
		if !loud {
			quiet++
		}
	}
	return float64(quiet) / float64(b-a)
}
