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
	Early      float64 `json:"early"`       // of answers that repeat a word said before the utterance's end: share that reacts to that word
	Pi         float64 `json:"pi"`          // share of messages that answer speech
	Background float64 `json:"background"`  // other messages a second
	LogLik     float64 `json:"log_lik"`     // of the chosen law, per linked message
	OtherLaw   string  `json:"other_law"`   // the law that was not chosen
	OtherLogL  float64 `json:"other_loglk"` // and its likelihood
}

// Median gives the delay that half of the answers stay below.
func (d Delay) Median() time.Duration {
	return time.Duration(medianOf(law{gamma: d.Law == "gamma", mu: d.Mu, sigma: d.Sigma}) * float64(time.Second))
}

// Density gives the probability density of a delay, per second: 0 for delays below 0.
func (d Delay) Density(delay time.Duration) float64 {
	return law{gamma: d.Law == "gamma", mu: d.Mu, sigma: d.Sigma}.density(delay.Seconds())
}

// law is a density of delays in seconds. Both kinds have a location mu of log seconds and a spread sigma, so that one prior
// fits both. early tells how many people react to a telling word before the end of the utterance, so that their delay counts
// from there: it is their share among the answers that repeat such a word.
type law struct {
	gamma     bool
	mu, sigma float64
	early     float64
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
	before []float64 // the same where the reaction is to a word said before the utterance's end, nobody knows which
	below  []float64 // mass of table up to each step
	early  float64   // of the law
}

const (
	densityStep = 0.02
	strayShare  = 0.02 // mass spread evenly over the allowed delays
	toldShare   = 0.75 // of early reactions: how many are to the word that the answer repeats
	// early reactions are to words that end this long before the utterance does
	earliestWord, latestWord = 0.2, 1.4
	// an early reaction is this likely, as against one of an answer that repeats an earlier word, ...
	earlyUntold = 0.35 // ... where the answer repeats no word
	earlyLast   = 0.13 // ... where it repeats one of the last words
	anchorBlur  = 0.2  // s; deviation of word ends and of the lag within its piece
)

func newDensity(l law, lo, hi, blur float64) *density {
	d := &density{lo: lo, hi: hi, early: l.early, table: make([]float64, int((hi-lo)/densityStep)+2)}
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
	d.below = make([]float64, len(d.table))
	for i := 1; i < len(d.below); i++ {
		d.below[i] = d.below[i-1] + densityStep*d.table[i-1]
	}
	d.before = make([]float64, len(d.table))
	last := len(d.table) - 1
	const from, to = int(earliestWord / densityStep), int(latestWord / densityStep)
	sum = 0
	for k := from; k < to; k++ {
		sum += d.table[min(k, last)]
	}
	for i := range d.before {
		d.before[i] = sum / float64(to-from)
		sum += d.table[min(i+to, last)] - d.table[min(i+from, last)]
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

// between is the mass of the delays from a to b.
func (d *density) between(a, b float64) float64 {
	below := func(x float64) float64 {
		return d.below[max(0, min(len(d.below)-1, int((x-d.lo)/densityStep)))]
	}
	return below(b) - below(a)
}

// reaction is the density of an answer x seconds after the utterance's end. Some react to a word before it: to the last one
// that the answer repeats, told seconds before the end, or, where told is negative, to any of the last words.
func (d *density) reaction(x, told float64) float64 {
	end, change := d.moments(x, told)
	return end + d.early*change
}

// moments gives the density where all react to the utterance's end, and the change of it where early is 1.
func (d *density) moments(x, told float64) (end, change float64) {
	f := (x - d.lo) / densityStep
	i := int(f)
	if f < 0 || i+1 >= len(d.table) {
		return 0, 0
	}
	f -= float64(i)
	end = d.table[i]*(1-f) + d.table[i+1]*f
	before, share := d.before[i]*(1-f)+d.before[i+1]*f, earlyUntold
	switch {
	case told >= earliestWord:
		before, share = toldShare*d.at(x+told)+(1-toldShare)*before, 1
	case told >= 0:
		share = earlyLast
	}
	return end, share * (before - end)
}

// The prior of human delays: medians of a few seconds, spreads near a half that grow with the median, and a fastest fiftieth
// of answers that comes after most of a second, since nobody reads, thinks and types in no time. Slow crowds have long tails,
// not late starts: this is what tells a longer lag from slower people where the data are few.
const (
	priorMu, priorMuSD       = 1.0, 0.5
	priorSigma, priorSigmaSD = 0.5, 0.06 // at a median of 2.5 s
	priorSlope, slopeAt      = 0.2, 0.9  // growth of sigma with mu, and the mu of that median
	priorEarly, priorEarlySD = 0.35, 0.5
	priorFast, priorFastSD   = -0.05, 0.3 // log seconds that the fastest fiftieth stays below
	fastest                  = -2.05      // normal deviate of the first fiftieth
	priorGamma               = -1.5       // nats by which a gamma law starts behind a lognormal one
)

func (l law) logPrior() float64 {
	a, c := (l.mu-priorMu)/priorMuSD, (l.early-priorEarly)/priorEarlySD
	b := (l.sigma - priorSigma - priorSlope*(l.mu-slopeAt)) / priorSigmaSD
	d := (l.logFastest() - priorFast) / priorFastSD
	p := -(a*a + b*b + c*c + d*d) / 2
	if l.gamma {
		p += priorGamma
	}
	return p
}

// logFastest is the log of the delay that a fiftieth of the answers stay below.
func (l law) logFastest() float64 {
	if !l.gamma {
		return l.mu + fastest*l.sigma
	}
	// Wilson and Hilferty 1931: the cube root of a gamma variable is nearly normal
	v := l.sigma * l.sigma / 9
	return l.mu + 3*math.Log(math.Max(1e-3, 1-v+fastest*math.Sqrt(v)))
}
