package lm

import "math"

// RotaryFrequencies returns, for each of a head's HeadDim/2 pairs, the angle by which it turns from one position to the
// next, and the factor on the cosines and sines (1 but for yarn). length is the number of positions in the sequence; only
// "dynamic" scaling looks at it.
//
// The plain frequencies are those of RoFormer (arXiv:2104.09864); the stretched ones are as Hugging Face's
// modeling_rope_utils defines them: linear, dynamic NTK, llama3, and yarn (arXiv:2309.00071).
func (c Config) RotaryFrequencies(length int) (perPosition []float64, amplitude float64) {
	dim := float64(c.HeadDim)
	theta := c.RopeTheta
	s := c.RopeScaling
	if s != nil && s.Type == "dynamic" && length > c.MaxPositions {
		stretch := s.Factor*float64(length)/float64(c.MaxPositions) - (s.Factor - 1)
		theta *= math.Pow(stretch, dim/(dim-2))
	}
	w := make([]float64, c.HeadDim/2)
	for i := range w {
		w[i] = 1 / math.Pow(theta, float64(2*i)/dim)
	}
	if s == nil {
		return w, 1
	}
	switch s.Type {
	case "linear":
		for i := range w {
			w[i] /= s.Factor
		}
	case "factors":
		for i := range w {
			w[i] /= s.Factors[i]
		}
	case "llama3":
		for i := range w {
			w[i] = s.llama3(w[i])
		}
	case "yarn":
		s.yarn(w, theta, dim)
		return w, s.yarnAmplitude()
	}
	return w, 1
}

// llama3 keeps short waves, divides long ones by the factor and blends between.
func (s *RopeScaling) llama3(w float64) float64 {
	wavelength, original := 2*math.Pi/w, float64(s.OriginalMax)
	switch {
	case wavelength < original/s.HighFreqFactor:
		return w
	case wavelength > original/s.LowFreqFactor:
		return w / s.Factor
	}
	keep := (original/wavelength - s.LowFreqFactor) / (s.HighFreqFactor - s.LowFreqFactor)
	return (1-keep)*w/s.Factor + keep*w
}

// yarn blends from kept to divided frequencies between the pairs that turn BetaFast and BetaSlow times within the
// original length.
func (s *RopeScaling) yarn(w []float64, theta, dim float64) {
	pairOf := func(turns float64) float64 {
		return dim * math.Log(float64(s.OriginalMax)/(turns*2*math.Pi)) / (2 * math.Log(theta))
	}
	low := max(math.Floor(pairOf(s.BetaFast)), 0)
	high := min(math.Ceil(pairOf(s.BetaSlow)), dim-1)
	if low == high {
		high += 0.001
	}
	for i := range w {
		ramp := min(max((float64(i)-low)/(high-low), 0), 1)
		w[i] = w[i]/s.Factor*ramp + w[i]*(1-ramp)
	}
}

func (s *RopeScaling) yarnAmplitude() float64 {
	switch {
	case s.AttentionFactor != 0:
		return s.AttentionFactor
	case s.Factor <= 1:
		return 1
	}
	return 0.1*math.Log(s.Factor) + 1
}
