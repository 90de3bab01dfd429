package chart

import "math"

// scale maps values of an axis to pixels.
type scale struct {
	axis     Axis
	from, to float64 // values at the two ends
	a, b     float64 // pixels at the two ends
	ticks    []float64
}

func (s *scale) at(v float64) float64 {
	from, to := s.from, s.to
	if s.axis.Log {
		v, from, to = math.Log10(math.Max(v, 1e-12)), math.Log10(from), math.Log10(to)
	}
	return s.a + (v-from)/(to-from)*(s.b-s.a)
}

// newScale covers lo..hi, widened to round ticks, about n of them.
func newScale(axis Axis, lo, hi float64, n int, fixed bool) *scale {
	s := &scale{axis: axis}
	if k := len(axis.Categories); k > 0 {
		s.axis.Log = false
		s.from, s.to = -0.5, float64(k)-0.5
		every := max(1, (k+39)/40)
		for i := 0; i < k; i += every {
			s.ticks = append(s.ticks, float64(i))
		}
		return s
	}
	if !(lo <= hi) || math.IsInf(lo, 0) || math.IsInf(hi, 0) {
		lo, hi = 0, 1
	}
	if axis.Log && lo <= 0 {
		s.axis.Log = false
	}
	if lo == hi {
		pad := math.Max(math.Abs(lo)*0.1, 0.5)
		if s.axis.Log {
			pad = lo / 2
		}
		lo, hi = lo-pad, hi+pad
	}
	if s.axis.Log {
		s.from, s.to = math.Pow(10, math.Floor(math.Log10(lo))), math.Pow(10, math.Ceil(math.Log10(hi)))
		decades := math.Log10(s.to / s.from)
		every := math.Max(1, math.Ceil(decades/float64(n)))
		for e := math.Log10(s.from); e <= math.Log10(s.to)+1e-9; e += every {
			s.ticks = append(s.ticks, math.Pow(10, math.Round(e)))
		}
		return s
	}
	step := niceStep(axis.Unit, (hi-lo)/float64(n))
	s.from, s.to = lo, hi
	if !fixed {
		s.from, s.to = math.Floor(lo/step+1e-9)*step, math.Ceil(hi/step-1e-9)*step
	}
	for i := math.Ceil(s.from/step - 1e-9); i*step <= s.to+step*1e-9 && len(s.ticks) < 100; i++ {
		v := i * step
		if math.Abs(v) < step*1e-9 {
			v = 0
		}
		s.ticks = append(s.ticks, v)
	}
	return s
}

// niceStep is the smallest round step that is not less than step.
func niceStep(unit Unit, step float64) float64 {
	if unit == Clock && step > 0.5 {
		for _, s := range [...]float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400} {
			if step <= s {
				return s
			}
		}
		return math.Ceil(step/86400) * 86400
	}
	if !(step > 0) {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(step)))
	for _, m := range [...]float64{1, 2, 2.5, 5} {
		if step <= m*power*(1+1e-9) {
			return m * power
		}
	}
	return 10 * power
}
