package align

import (
	"math"
	"time"
)

// Delay is how long people take to answer, counted from the end of the utterance, the lag taken off, together with the
// chat that answers nothing.
type Delay struct {
	Law        string  `json:"law"`         // "lognormal" or "gamma"
	Mu         float64 `json:"mu"`          // lognormal: mean of log seconds; gamma: log of the mean
	Sigma      float64 `json:"sigma"`       // lognormal: deviation of log seconds; gamma: 1/sqrt(shape)
	Pi         float64 `json:"pi"`          // share of messages that answer speech
	Background float64 `json:"background"`  // other messages a second
	LogLik     float64 `json:"log_lik"`     // of the chosen law, per linked message
	OtherLaw   string  `json:"other_law"`   // the law that was not chosen
	OtherLogL  float64 `json:"other_loglk"` // and its likelihood
}

// Median gives the delay that half of the answers stay below.
func (d Delay) Median() time.Duration {
	return time.Duration(medianOf(law{d.Law == "gamma", d.Mu, d.Sigma}) * float64(time.Second))
}

// Density gives the probability density of a delay, per second: 0 for delays below 0.
func (d Delay) Density(delay time.Duration) float64 {
	return law{d.Law == "gamma", d.Mu, d.Sigma}.density(delay.Seconds())
}

// law is a density of delays in seconds. Both kinds have a location mu of log seconds and a spread sigma, so that one prior
// fits both.
type law struct {
	gamma     bool
	mu, sigma float64
}

func (l law) name() string {
	if l.gamma {
		return "gamma"
	}
	return "lognormal"
}

func (l law) density(x float64) float64 {
	if x <= 0 {
		return 0
	}
	if !l.gamma {
		return lognormal(x, l.mu, l.sigma)
	}
	shape := 1 / (l.sigma * l.sigma)
	scale := math.Exp(l.mu) / shape
	g, _ := math.Lgamma(shape)
	return math.Exp((shape-1)*math.Log(x) - x/scale - g - shape*math.Log(scale))
}

func lognormal(x, mu, sigma float64) float64 {
	if x <= 0 {
		return 0
	}
	z := (math.Log(x) - mu) / sigma
	return math.Exp(-z*z/2) / (x * sigma * math.Sqrt(2*math.Pi))
}

func medianOf(l law) float64 {
	if !l.gamma {
		return math.Exp(l.mu)
	}
	sum := 0.0
	for x := 0.005; x < 120; x += 0.01 {
		if sum += 0.01 * l.density(x); sum >= 0.5 {
			return x
		}
	}
	return math.Exp(l.mu)
}

// density tabulates a law over the delays that candidates may have, with a little mass everywhere so that no true answer
// is ruled out by a badly estimated lag. blur is the deviation, in seconds, of what the law does not know of.
type density struct {
	lo, hi float64
	table  []float64 // value at lo + i*step, interpolated
}

const (
	densityStep = 0.02
	strayShare  = 0.02 // mass spread evenly over the allowed delays
	lateShare   = 0.15 // how often people react to the last telling word but one, not to the utterance's end
	anchorBlur  = 0.2  // s; deviation of word ends and of the lag within its piece
)

func newDensity(l law, lo, hi, blur float64) *density {
	d := &density{lo: lo, hi: hi, table: make([]float64, int((hi-lo)/densityStep)+2)}
	sharp := make([]float64, len(d.table)) // without blur
	for i := range sharp {
		sharp[i] = l.density(lo + float64(i)*densityStep)
	}
	reach := int(2 * blur / densityStep)
	kernel := make([]float64, 2*reach+1)
	sum := 0.0
	for k := range kernel {
		z := float64(k-reach) * densityStep / blur
		kernel[k] = math.Exp(-z * z / 2)
		sum += kernel[k]
	}
	for i := range d.table {
		v := 0.0
		for k := max(0, reach-i); k < len(kernel) && i+k-reach < len(sharp); k++ {
			v += kernel[k] * sharp[i+k-reach]
		}
		d.table[i] = (1-strayShare)*v/sum + strayShare/(hi-lo)
	}
	return d
}

func (d *density) at(x float64) float64 {
	f := (x - d.lo) / densityStep
	i := int(f)
	if f < 0 || i+1 >= len(d.table) {
		return 0
	}
	f -= float64(i)
	return d.table[i]*(1-f) + d.table[i+1]*f
}

// The prior of human delays: medians of a few seconds, spreads near a half, and laws that leave the first moments after the
// word empty, since nobody reads, thinks and types in no time. It matters for short streams, where the data cannot tell a
// longer lag from slower people.
const (
	priorMu, priorMuSD       = 1.0, 0.4
	priorSigma, priorSigmaSD = 0.52, 0.1
	priorGamma               = -1.5 // nats by which a gamma law starts behind a lognormal one
)

func (l law) logPrior() float64 {
	a, b := (l.mu-priorMu)/priorMuSD, (l.sigma-priorSigma)/priorSigmaSD
	p := -(a*a + b*b) / 2
	if l.gamma {
		p += priorGamma
	}
	return p
}
