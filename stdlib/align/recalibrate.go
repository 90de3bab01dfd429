package align

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"banter/internal/problem"
)

// Bounds of recalibration.
const (
	leastLabels     = 40   // matched labels without which nothing is fitted
	leastOfEither   = 8    // of them right, and wrong
	isotonicLabels  = 1000 // from here on steps tell more than two numbers (Niculescu-Mizil and Caruana 2005)
	calibrationCuts = 5    // parts of the labels; each is judged by a curve fitted on the others
	labelSpan       = 2 * time.Minute
)

// Calibration says which probability a Confidence stands for.
type Calibration struct {
	Method string  `json:"method"` // "platt" or "isotonic"
	A      float64 `json:"a"`      // Platt's curve: the log odds are A + B times those of Confidence
	B      float64 `json:"b"`
	Steps  []Step  `json:"steps,omitempty"` // of an isotonic curve, rising; straight lines go between them
}

// Step is a point of an isotonic curve.
type Step struct {
	Confidence  float64 `json:"confidence"`
	Probability float64 `json:"probability"`
}

// At is the probability of being right of a pair with this confidence. Isotonic curves go on, beyond the confidences that
// had labels, by Platt's curve, as far as that rises.
func (c *Calibration) At(confidence float64) float64 {
	p := sigmoid(c.A + c.B*logOdds(confidence))
	if len(c.Steps) == 0 {
		return p
	}
	first, last := c.Steps[0], c.Steps[len(c.Steps)-1]
	switch {
	case confidence <= first.Confidence:
		return math.Min(first.Probability, p)
	case confidence >= last.Confidence:
		return math.Max(last.Probability, p)
	}
	i, _ := slices.BinarySearchFunc(c.Steps, confidence, func(s Step, x float64) int { return cmp.Compare(s.Confidence, x) })
	a, b := c.Steps[i-1], c.Steps[i]
	return a.Probability + (b.Probability-a.Probability)*(confidence-a.Confidence)/(b.Confidence-a.Confidence)
}

// logOdds of a probability, kept off the ends.
func logOdds(p float64) float64 {
	p = math.Max(1e-4, math.Min(1-1e-4, p))
	return math.Log(p / (1 - p))
}

// Quality says how far stated probabilities may be trusted, by labels that they were not made from.
type Quality struct {
	ECE      float64    `json:"ece"`   // ten bins
	AUC      float64    `json:"auc"`   // probability that a right pair is above a wrong one
	Brier    float64    `json:"brier"` // mean squared distance of probability and outcome
	Coverage []Coverage `json:"coverage"`
}

// Coverage is the precision of the most confident part of the labelled pairs.
type Coverage struct {
	Share     float64 `json:"share"` // of the labelled pairs
	Precision float64 `json:"precision"`
}

// Recalibration says what labels made of the confidences. Before and After are measured on the same labels: After by curves
// that were fitted without the labels that they judge. They speak of the pairs that were labelled, not of all.
type Recalibration struct {
	Calibration
	Labels    int     `json:"labels"` // that were used
	Right     int     `json:"right"`  // of them
	Unmatched int     `json:"unmatched"`
	HeldOutBy string  `json:"held_out_by"` // "stream", or "time" where too few streams have labels
	Low       float64 `json:"low"`         // the confidences that had labels
	High      float64 `json:"high"`
	Outside   int     `json:"outside"` // pairs whose confidence lies beyond: theirs is extrapolated
	Before    Quality `json:"before"`
	After     Quality `json:"after"`
}

// Recalibrate fits Confidence to what people said of some of the pairs: by Platt's curve (Platt 1999), and from a thousand
// labels on by isotonic regression. The pairs come back in their order with new confidences. Their FDR stays: it is counted
// on decoys, and a curve that rises changes no order that it depends on.
func Recalibrate(pairs []Pair, labels []Label) ([]Pair, Recalibration, error) {
	var r Recalibration
	found, unmatched, err := matchLabels(pairs, labels)
	if err != nil {
		return nil, r, err
	}
	r.Labels, r.Unmatched, r.Low = len(found), unmatched, 1
	conf, right := make([]float64, len(found)), make([]bool, len(found))
	for i, f := range found {
		conf[i], right[i] = pairs[f.pair].Confidence, f.right
		r.Low, r.High = math.Min(r.Low, conf[i]), math.Max(r.High, conf[i])
		if f.right {
			r.Right++
		}
	}
	if r.Labels < leastLabels || min(r.Right, r.Labels-r.Right) < leastOfEither {
		return nil, r, &problem.Error{Op: "recalibrate", Err: fmt.Errorf("%d of the labels are of these pairs (%d are not), %d of them right: want at least %d, and %d right and wrong ones each",
			r.Labels, r.Unmatched, r.Right, leastLabels, leastOfEither), Fix: "label more pairs, from the whole range of confidences"}
	}
	method := "platt"
	if r.Labels >= isotonicLabels {
		method = "isotonic"
	}
	r.Calibration = fitCalibration(method, conf, right)
	if r.B <= 0 {
		return nil, r, &problem.Error{Op: "recalibrate", Err: errors.New("by these labels more confident pairs are not more often right"),
			Fix: "check that the labels are of this alignment, and that yes means right"}
	}
	part, by := labelParts(pairs, found)
	r.HeldOutBy = by
	after := make([]float64, len(found))
	for k := range calibrationCuts {
		var x []float64
		var y []bool
		for i := range found {
			if part[i] != k {
				x, y = append(x, conf[i]), append(y, right[i])
			}
		}
		if len(x) == len(found) {
			continue // nothing is held out
		}
		curve := fitCalibration(method, x, y)
		for i := range found {
			if part[i] == k {
				after[i] = curve.At(conf[i])
			}
		}
	}
	r.Before, r.After = qualityOf(conf, right), qualityOf(after, right)
	out := slices.Clone(pairs)
	for i := range out {
		if c := out[i].Confidence; c < r.Low || c > r.High {
			r.Outside++
		}
		out[i].Confidence = r.At(out[i].Confidence)
	}
	return out, r, nil
}

// labelParts deals labelled pairs out by stream, or by stretches of time where too few streams have labels. Found is in order
// of pairs, which is that of streams and time.
func labelParts(pairs []Pair, found []judged) (part []int, by string) {
	part = make([]int, len(found))
	streams := map[string]int{}
	for i, f := range found {
		s := pairs[f.pair].Stream
		if _, ok := streams[s]; !ok {
			streams[s] = len(streams)
		}
		part[i] = streams[s] % calibrationCuts
	}
	if len(streams) >= calibrationCuts {
		return part, "stream"
	}
	for i, f := range found {
		p := &pairs[f.pair]
		block := int(p.MessageTime/labelSpan) + streams[p.Stream]
		part[i] = ((block % calibrationCuts) + calibrationCuts) % calibrationCuts
	}
	return part, "time"
}

func fitCalibration(method string, conf []float64, right []bool) Calibration {
	c := Calibration{Method: method}
	c.A, c.B = fitPlatt(conf, right)
	if method == "isotonic" {
		c.Steps = isotonic(conf, right)
	}
	return c
}

// fitPlatt fits a logistic curve to the log odds of confidences, towards outcomes that are drawn off the ends by one label of
// each kind (Platt 1999), by Newton's method with halved steps where the loss would rise (Lin, Lin and Weng 2007).
func fitPlatt(conf []float64, right []bool) (a, b float64) {
	var n [2]float64
	for _, ok := range right {
		if ok {
			n[1]++
		} else {
			n[0]++
		}
	}
	want := [2]float64{1 / (n[0] + 2), (n[1] + 1) / (n[1] + 2)}
	x, y := make([]float64, len(conf)), make([]float64, len(conf))
	for i, c := range conf {
		x[i], y[i] = logOdds(c), want[0]
		if right[i] {
			y[i] = want[1]
		}
	}
	loss := func(a, b float64) float64 {
		sum := 0.0
		for i := range x {
			z := a + b*x[i]
			sum += softplus(z) - y[i]*z
		}
		return sum
	}
	a, b = 0, 1
	now := loss(a, b)
	for range 100 {
		var ga, gb, haa, hab, hbb float64
		haa, hbb = 1e-9, 1e-9
		for i := range x {
			p := sigmoid(a + b*x[i])
			d, q := y[i]-p, p*(1-p)
			ga += d
			gb += d * x[i]
			haa += q
			hab += q * x[i]
			hbb += q * x[i] * x[i]
		}
		det := haa*hbb - hab*hab
		if det <= 0 {
			break
		}
		da, db := (hbb*ga-hab*gb)/det, (haa*gb-hab*ga)/det
		step := 1.0
		for step > 1e-6 && !(loss(a+step*da, b+step*db) <= now) {
			step /= 2
		}
		before := now
		if next := loss(a+step*da, b+step*db); next <= now {
			a, b, now = a+step*da, b+step*db, next
		}
		if before-now < 1e-10*(1+math.Abs(now)) {
			break
		}
	}
	return a, b
}

// isotonic is the rising curve nearest to the outcomes in squares, by pooling neighbours that fall (Ayer et al. 1955): one
// step at the mean confidence of each pool.
func isotonic(conf []float64, right []bool) []Step {
	order := make([]int, len(conf))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(conf[a], conf[b]) })
	type pool struct{ n, right, conf, last float64 }
	var pools []pool
	for _, i := range order {
		p := pool{1, 0, conf[i], conf[i]}
		if right[i] {
			p.right = 1
		}
		if k := len(pools) - 1; k >= 0 && pools[k].last == conf[i] {
			q := &pools[k] // equal confidences have one probability
			q.n, q.right, q.conf = q.n+1, q.right+p.right, q.conf+p.conf
		} else {
			pools = append(pools, p)
		}
	}
	var merged []pool
	for _, p := range pools {
		merged = append(merged, p)
		for k := len(merged) - 1; k > 0 && merged[k-1].right*merged[k].n >= merged[k].right*merged[k-1].n; k-- {
			a, b := merged[k-1], merged[k]
			merged[k-1] = pool{a.n + b.n, a.right + b.right, a.conf + b.conf, b.last}
			merged = merged[:k]
		}
	}
	out := make([]Step, len(merged))
	for i, p := range merged {
		out[i] = Step{p.conf / p.n, p.right / p.n}
	}
	return out
}

func qualityOf(prob []float64, right []bool) Quality {
	q := Quality{ECE: ECE(prob, right, 10), AUC: AUC(prob, right), Brier: Brier(prob, right)}
	order := make([]int, len(prob))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(prob[b], prob[a]) })
	for _, share := range []float64{0.1, 0.25, 0.5, 0.75, 1} {
		n := max(1, int(math.Round(share*float64(len(order)))))
		hits := 0
		for _, i := range order[:n] {
			if right[i] {
				hits++
			}
		}
		q.Coverage = append(q.Coverage, Coverage{share, float64(hits) / float64(n)})
	}
	return q
}

// Brier is the mean squared distance of probabilities and outcomes (Brier 1950).
func Brier(prob []float64, right []bool) float64 {
	sum := 0.0
	for i, p := range prob {
		if right[i] {
			p = 1 - p
		}
		sum += p * p
	}
	return sum / math.Max(1, float64(len(prob)))
}
