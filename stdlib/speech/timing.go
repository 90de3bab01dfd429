package speech

import (
	"math"
	"time"
)

// How far the two ways to tell a word's start may differ before the one from attention is not believed: it is the finer
// one, but now and then misses by seconds.
const believeWarp = 500 * time.Millisecond

// settle decides each word's start and end from what the model says and from where the audio gets loud.
func settle(words []heardWord, w *window) {
	offset, limit := streamTime(w.start), streamTime(w.start+int64(len(w.samples)))
	for i := range words {
		word := &words[i]
		word.start = word.tokenStart
		if word.warpStart >= 0 && (word.warpStart-word.tokenStart).Abs() <= believeWarp {
			word.start = word.warpStart
		}
	}
	inOrder(words)
	sounds := newSoundMap(w.loudness)
	for i := range words {
		word := &words[i]
		after, before := offset, limit
		if i > 0 {
			after = words[i-1].start + shortest
		}
		if i+1 < len(words) {
			before = words[i+1].start - shortest
		}
		if at, ok := sounds.onset(word.start - offset); ok {
			if at += offset; at >= after && at <= before {
				word.start = at
			}
		}
	}
	for i := range words {
		word := &words[i]
		next := limit
		if i+1 < len(words) {
			next = words[i+1].start
		}
		word.end = min(max(word.tokenEnd, word.start+shortest), next)
		word.end = max(sounds.offset(word.start-offset, word.end-offset)+offset, min(word.start+shortest, next))
	}
}

// shortest is the shortest time that a word takes.
const shortest = 40 * time.Millisecond

// inOrder repairs starts that go back in time: the fewest that can be blamed get their place between their neighbours.
func inOrder(words []heardWord) {
	n := len(words)
	if n == 0 {
		return
	}
	// The longest run of starts that never goes back is right.
	length, from := make([]int, n), make([]int, n)
	best := 0
	for i := range words {
		length[i], from[i] = 1, -1
		for j := max(0, i-200); j < i; j++ {
			if words[j].start <= words[i].start && length[j]+1 > length[i] {
				length[i], from[i] = length[j]+1, j
			}
		}
		if length[i] > length[best] {
			best = i
		}
	}
	right := make([]bool, n)
	for i := best; i >= 0; i = from[i] {
		right[i] = true
	}
	for i := 0; i < n; i++ {
		if right[i] {
			continue
		}
		j := i
		for j < n && !right[j] {
			j++
		}
		var lo, hi time.Duration
		if i > 0 {
			lo = words[i-1].start
		}
		if j < n {
			hi = words[j].start
		} else {
			hi = max(words[n-1].tokenEnd, lo)
		}
		if i == 0 {
			lo = min(words[0].tokenStart, hi)
		}
		for k := i; k < j; k++ {
			if t := words[k].tokenStart; t >= lo && t <= hi {
				words[k].start = t
			} else {
				words[k].start = lo + (hi-lo)*time.Duration(k-i+1)/time.Duration(j-i+1)
			}
			lo = words[k].start
		}
		i = j
	}
}

// soundMap knows where a window's audio rises out of a pause.
type soundMap struct {
	loud   []bool // frame by frame
	onsets []int  // first frames of sound after a pause
}

const (
	onsetReach = 120 * time.Millisecond // how far from the model's time a rise is taken for the word's start
	onsetPause = 5                      // frames of quiet before a rise
)

func newSoundMap(levels []level) *soundMap {
	floor, top := spread(levels)
	// Where somebody talks without a pause, the floor is speech too: then what is well below the loudest is quiet.
	threshold := min(floor+max(6, (top-floor)/4), top-10)
	m := &soundMap{loud: make([]bool, len(levels))}
	quiet := onsetPause
	for i, l := range levels {
		m.loud[i] = l > threshold
		if m.loud[i] {
			if quiet >= onsetPause {
				m.onsets = append(m.onsets, i)
			}
			quiet = 0
		} else {
			quiet++
		}
	}
	return m
}

// spread returns a low and a high percentile of levels, what is quiet and what is loud in them.
func spread(levels []level) (low, high level) {
	var counts [256]int
	for _, l := range levels {
		counts[int(min(max(-l, 0), 255))]++ // whole decibels below full scale
	}
	low, high = -120, 0
	seen := 0
	for db := 255; db >= 0; db-- {
		if seen < len(levels)/10 && seen+counts[db] >= len(levels)/10 {
			low = -float64(db)
		}
		if seen < len(levels)*9/10 && seen+counts[db] >= len(levels)*9/10 {
			high = -float64(db)
		}
		seen += counts[db]
	}
	return low, math.Max(low, high)
}

// onset returns the rise next to a time in the window.
func (m *soundMap) onset(at time.Duration) (time.Duration, bool) {
	best, ok := time.Duration(0), false
	for _, f := range m.onsets {
		t := time.Duration(f) * 10 * time.Millisecond
		if d := (t - at).Abs(); d <= onsetReach && (!ok || d < (best-at).Abs()) {
			best, ok = t, true
		}
	}
	return best, ok
}

// offset shortens a word that goes on into a pause: it returns the end of the last sound before end, or end where the
// whole stretch is quiet.
func (m *soundMap) offset(start, end time.Duration) time.Duration {
	from, to := int(start/(10*time.Millisecond)), int(end/(10*time.Millisecond))
	for f := min(to, len(m.loud)) - 1; f > from; f-- {
		if m.loud[f] {
			return min(end, time.Duration(f+1)*10*time.Millisecond)
		}
	}
	return end
}
