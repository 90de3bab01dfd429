package speech

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"banter/internal/worker/native"
)

// window is a stretch of samples that is transcribed by itself.
type window struct {
	start   int64 // of its samples, counted from the recording's first
	samples []float32
	// Words that begin in [from, to) are this window's; around these bounds it also hears some of its neighbours' words.
	from, to int64
	quiet    bool    // its end lies in a pause, so that no word is there to be cut
	loudness []level // of each frame
	empty    bool    // nobody speaks in it
}

// level is the mean square of a frame's samples, in decibels below full scale.
type level = float64

const (
	frame      = native.SampleRate / 100 // 10 ms
	silence    = -65                     // level of a window's loudest frames below which it holds no speech at all
	pauseWidth = 400 * time.Millisecond  // of the stretch whose loudness makes a pause
	pauseKeep  = 150 * time.Millisecond  // of a pause goes to both windows that it parts
)

// levels returns the level of each whole frame.
func levels(samples []float32) []level {
	out := make([]level, len(samples)/frame)
	for i := range out {
		var sum float64
		for _, v := range samples[i*frame : (i+1)*frame] {
			sum += float64(v) * float64(v)
		}
		out[i] = 10 * math.Log10(sum/frame+1e-12)
	}
	return out
}

func samplesIn(d time.Duration) int64 { return int64(d) * native.SampleRate / int64(time.Second) }
func streamTime(sample int64) time.Duration {
	return time.Duration(sample/native.SampleRate)*time.Second + time.Duration(sample%native.SampleRate)*time.Second/native.SampleRate
}

// cutter takes a source apart into windows. It holds one window's samples at a time.
type cutter struct {
	source Source
	engine Engine
	o      *Options

	start int64     // of buf
	from  int64     // where the next window's own words begin
	buf   []float32 // samples from start on
	ended bool      // the source is at its end
}

// fill reads until buf holds n samples or the source ends.
func (c *cutter) fill(n int64) error {
	if int64(cap(c.buf)) < n {
		grown := make([]float32, len(c.buf), n)
		copy(grown, c.buf)
		c.buf = grown
	}
	idle := 0
	for int64(len(c.buf)) < n && !c.ended {
		k, err := c.source.Read(c.buf[len(c.buf):n])
		if k < 0 || int64(len(c.buf)+k) > n {
			return fmt.Errorf("the source gave %d samples where there was room for %d", k, n-int64(len(c.buf)))
		}
		c.buf = c.buf[:len(c.buf)+k]
		switch {
		case errors.Is(err, io.EOF):
			c.ended = true
		case err != nil:
			return err
		case k == 0:
			if idle++; idle > 1000 {
				return io.ErrNoProgress
			}
		default:
			idle = 0
		}
	}
	return nil
}

// next returns the next window, or nil after the last.
func (c *cutter) next(ctx context.Context) (*window, error) {
	size := samplesIn(c.o.Window)
	if err := c.fill(size); err != nil {
		return nil, err
	}
	if len(c.buf) == 0 {
		return nil, nil
	}
	loud := levels(c.buf)
	speech, err := c.speech(ctx, loud)
	if err != nil {
		return nil, err
	}
	w := &window{start: c.start, from: c.from, loudness: loud, empty: len(speech) == 0}
	n := int64(len(c.buf))
	if c.ended {
		w.samples, w.to, w.quiet = append([]float32(nil), c.buf...), c.start+n, true
		c.advance(n, c.start+n)
		return w, nil
	}
	end, next, cut := n, n-samplesIn(c.o.Overlap), n-samplesIn(c.o.Overlap)/2
	if at, ok := pause(loud, speech, int(n/2/frame), int(n/frame)); ok {
		keep := samplesIn(pauseKeep)
		cut = int64(at) * frame
		end, next, w.quiet = min(n, cut+keep), cut-keep, true
	}
	w.samples, w.to = append([]float32(nil), c.buf[:end]...), c.start+cut
	w.loudness = loud[:end/frame]
	c.advance(next, c.start+cut)
	return w, nil
}

// advance drops the first n samples of buf.
func (c *cutter) advance(n, from int64) {
	c.buf = append(c.buf[:0], c.buf[n:]...)
	c.start += n
	c.from = from
	if c.ended {
		c.buf = c.buf[:0]
	}
}

// span is a stretch of frames, [from, to).
type span struct{ from, to int }

// speech returns where somebody may be speaking in the buffer: what the voice activity model says, or without one the
// whole buffer unless it is silent.
func (c *cutter) speech(ctx context.Context, loud []level) ([]span, error) {
	top := math.Inf(-1)
	for _, l := range loud {
		top = max(top, l)
	}
	if top < silence {
		return nil, nil
	}
	if c.o.VAD == nil {
		return []span{{0, len(loud)}}, nil
	}
	// These are the model's customary settings.
	p := native.VADParams{Model: c.o.VAD.Path, Threads: c.o.threads(), Threshold: 0.5, MinSpeechMS: 250, MinSilenceMS: 100, PadMS: 30}
	raw, _, err := c.engine.Call(ctx, native.MethodVAD, &p, native.Bytes(c.buf))
	if err != nil {
		return nil, err
	}
	var found native.Speech
	if err := json.Unmarshal(raw, &found); err != nil {
		return nil, err
	}
	var spans []span
	for _, s := range found.Spans {
		from, to := max(0, int(s.StartMS/10)), min(len(loud), int(s.EndMS/10))
		if from < to {
			spans = append(spans, span{from, to})
		}
	}
	return spans, nil
}

// pause finds the best frame to cut at between from and to: the middle of the quietest stretch. It says no if even that
// is not clearly quieter than the rest, and so may be within a word.
func pause(loud []level, speech []span, from, to int) (at int, ok bool) {
	half := int(pauseWidth/(10*time.Millisecond)) / 2
	power := make([]float64, len(loud)+1) // running sum
	for i, l := range loud {
		power[i+1] = power[i] + math.Pow(10, l/10)
	}
	spoken := make([]int, len(loud)+1) // running count of frames with speech
	for i, k := 0, 0; i < len(loud); i++ {
		for k < len(speech) && speech[k].to <= i {
			k++
		}
		spoken[i+1] = spoken[i]
		if k < len(speech) && speech[k].from <= i {
			spoken[i+1]++
		}
	}
	best := math.Inf(1)
	for i := max(from, half); i+half <= min(to, len(loud)); i++ {
		p := (power[i+half] - power[i-half]) / float64(2*half)
		// A stretch without speech beats any other.
		if spoken[i+half] == spoken[i-half] {
			p *= 1e-6
		}
		if p < best {
			best, at = p, i
		}
	}
	mean := power[len(loud)] / float64(max(len(loud), 1))
	return at, best < mean/20 // 13 dB
}
