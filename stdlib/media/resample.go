package media

import "math"

// mixer makes one channel out of interleaved frames.
type mixer struct {
	channels int
	pick     Channel
}

// mix writes the mono frames of in to out and returns how many.
func (m mixer) mix(out, in []float32) int {
	frames := len(in) / m.channels
	if m.channels == 1 {
		return copy(out, in[:frames])
	}
	if m.pick != Mix {
		c := int(m.pick) - 1
		for i := range frames {
			out[i] = in[i*m.channels+c]
		}
		return frames
	}
	scale := 1 / float32(m.channels)
	for i := range frames {
		var sum float32
		for _, v := range in[i*m.channels : (i+1)*m.channels] {
			sum += v
		}
		out[i] = sum * scale
	}
	return frames
}

// resampler converts between sample rates with a windowed-sinc low-pass kept as one filter for each phase of the output
// grid. The filter is symmetric about the output instant, so its delay is zero: output n is the sound at n/to seconds.
// See J. O. Smith, "Digital Audio Resampling Home Page" (ccrma.stanford.edu/~jos/resample), and Kaiser's window design
// formulas (Oppenheim & Schafer, Discrete-Time Signal Processing, 7.5.3).
type resampler struct {
	up, down int64 // output n lies at input sample n*down/up
	phases   int64
	half     int       // taps on each side of the output instant
	bank     []float32 // phases x 2*half taps

	buf   []float32 // input from sample first on
	first int64     // index of buf[0]; negative at the start, where silence comes before the sound
	n     int64     // next output
	out   []float32
}

const (
	zeroCrossings = 32   // of the sinc, on each side, at the lower rate
	kaiserBeta    = 9.0  // stop band 90 dB down
	cutoff        = 0.93 // middle of the transition, of the lower Nyquist frequency
	maxPhases     = 2560 // beyond these, odd ratios use the nearest of 2560 phases
)

// newResampler converts from Hz to Hz.
func newResampler(from, to int) *resampler {
	g := gcd(int64(from), int64(to))
	r := &resampler{up: int64(to) / g, down: int64(from) / g}
	if r.up == r.down {
		return r
	}
	r.phases = min(r.up, maxPhases)
	scale := math.Min(1, float64(to)/float64(from)) // lower rate over input rate
	r.half = int(math.Ceil(zeroCrossings / scale))
	fc := cutoff * scale // cut-off over the input's Nyquist frequency
	taps := 2 * r.half
	r.bank = make([]float32, int(r.phases)*taps)
	norm := besselI0(kaiserBeta)
	row := make([]float64, taps)
	for p := range int(r.phases) {
		frac := float64(p) / float64(r.phases)
		var sum float64
		for k := range taps {
			// Tap k multiplies input sample floor(instant) - half + 1 + k.
			x := float64(k-r.half+1) - frac
			w := x / float64(r.half)
			var v float64
			if w > -1 && w < 1 {
				v = fc * sinc(fc*x) * besselI0(kaiserBeta*math.Sqrt(1-w*w)) / norm
			}
			row[k] = v
			sum += v
		}
		for k, v := range row {
			r.bank[p*taps+k] = float32(v / sum) // unit gain at 0 Hz in every phase
		}
	}
	r.first = -int64(r.half)
	r.buf = make([]float32, r.half)
	return r
}

// push takes input and returns the output that it completes; the slice is good until the next call.
func (r *resampler) push(in []float32) []float32 {
	if r.up == r.down {
		return in
	}
	r.buf = append(r.buf, in...)
	return r.run(r.first + int64(len(r.buf)) - int64(r.half) - 1)
}

// flush returns the rest of the output: as many samples as the input lasts.
func (r *resampler) flush() []float32 {
	if r.up == r.down {
		return nil
	}
	end := r.first + int64(len(r.buf))
	r.buf = append(r.buf, make([]float32, r.half+1)...)
	return r.run(end - 1)
}

// run makes the outputs whose instant's input sample is at most last.
func (r *resampler) run(last int64) []float32 {
	r.out = r.out[:0]
	taps := 2 * r.half
	for {
		num := r.n * r.down
		at, rem := num/r.up, num%r.up
		phase := rem
		if r.phases != r.up {
			if phase = (rem*r.phases + r.up/2) / r.up; phase == r.phases {
				phase--
			}
		}
		if at > last {
			break
		}
		start := int(at - int64(r.half) + 1 - r.first)
		r.out = append(r.out, dot(r.bank[int(phase)*taps:(int(phase)+1)*taps], r.buf[start:start+taps]))
		r.n++
	}
	keep := r.n*r.down/r.up - int64(r.half) + 1 // first input sample that is still needed
	if drop := int(min(keep-r.first, int64(len(r.buf)))); drop > 0 {
		r.buf = r.buf[:copy(r.buf, r.buf[drop:])]
		r.first += int64(drop)
	}
	return r.out
}

// dot is the inner product, in four sums so that the additions need not wait for each other.
func dot(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	i := 0
	for ; i+4 <= len(a); i += 4 {
		x, y := a[i:i+4:i+4], b[i:i+4:i+4]
		s0 += x[0] * y[0]
		s1 += x[1] * y[1]
		s2 += x[2] * y[2]
		s3 += x[3] * y[3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return s0 + s1 + s2 + s3
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// besselI0 is the modified Bessel function of order zero, by its power series.
func besselI0(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > 1e-12*sum; k++ {
		term *= (x / (2 * k)) * (x / (2 * k))
		sum += term
	}
	return sum
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
