package align

import "math"

// evidence is what one target is given: the log odds that it answers speech, and what it is given beside shifted speech.
type evidence struct {
	real   float64
	chance [chanceShifts]float64
	plain  bool
}

// platt turns log odds x into a probability, sigmoid(a + b x) (Platt 1999).
type platt struct{ a, b float64 }

func (p platt) at(x float64) float64 { return p.a + p.b*x }

// A model learned from up to fewMessages messages is too careful about what it thinks unlikely: its log odds are low, and
// steep. Measured on made streams.
const (
	fewCareful  = 1.8  // added to the log odds
	fewFlat     = -0.1 // log of their factor
	fewMessages = 250.0
)

// calibrate fits the two numbers without labels. Among the targets, answers and others mix; beside shifted speech there
// are only others, so that the ratio of both densities at log odds x is c (1 + exp(a + b x)): c is the share of others, the
// rest the odds looked for. The ratio is what a logistic regression of real against shifted estimates. Shifted copies of
// what are answers themselves do not look like others: they count by what is left of their probability under the
// calibration before.
func calibrate(odds []evidence, before platt) platt {
	type point struct{ x, w float64 }
	var real, chance []point
	for i := range odds {
		e := &odds[i]
		if !e.plain {
			continue
		}
		real = append(real, point{clampOdds(e.real), 1})
		left := 1 - sigmoid(before.at(e.real))
		for _, x := range e.chance {
			if !math.IsInf(x, -1) {
				chance = append(chance, point{clampOdds(x), left / chanceShifts})
			}
		}
	}
	if len(real) < 20 || len(chance) < 20 {
		return before
	}
	// bins make the fit's cost independent of the corpus
	const bins, lo, hi = 120, -12.0, 12.0
	var hist [2][bins]float64
	for k, points := range [2][]point{chance, real} {
		for _, p := range points {
			hist[k][min(bins-1, int((p.x-lo)/(hi-lo)*bins))] += p.w
		}
	}
	// The model's own odds are a good guess, but for those of a model that had few messages to learn from.
	few := math.Min(1, fewMessages/float64(len(real)))
	careful, flat := fewCareful*few, fewFlat*few
	loss := func(p platt, logC float64) float64 {
		sum := 0.0
		for b := range bins {
			if hist[0][b]+hist[1][b] == 0 {
				continue
			}
			x := lo + (float64(b)+0.5)*(hi-lo)/bins
			ratio := logC + softplus(p.a+p.b*x)
			sum += hist[1][b]*softplus(-ratio) + hist[0][b]*softplus(ratio)
		}
		da, db := (p.a-careful)/0.5, (math.Log(p.b)-flat)/0.3
		return sum + (da*da+db*db)/2
	}
	best, bestLoss := before, math.Inf(1)
	for logC := -0.6; logC <= 0.61; logC += 0.1 {
		for b := 0.4; b <= 1.61; b += 0.1 {
			for a := -3.0; a <= 3.01; a += 0.25 {
				if v := loss(platt{a, b}, logC); v < bestLoss {
					best, bestLoss = platt{a, b}, v
				}
			}
		}
	}
	return best
}

func clampOdds(x float64) float64 { return math.Max(-11.9, math.Min(11.9, x)) }

// softplus is log(1 + exp(x)).
func softplus(x float64) float64 {
	if x > 30 {
		return x
	}
	return math.Log1p(math.Exp(x))
}
