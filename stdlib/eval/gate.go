package eval

import (
	"fmt"
	"slices"
	"strings"
)

// Metric names a number of a report that a gate can ask for.
type Metric string

// The metrics. Rubric(name) makes one for a rubric's pass rate.
const (
	Perplexity       Metric = "perplexity"        // of the tuned model
	PerplexityFall   Metric = "perplexity fall"   // relative: 0.2 is a fall by 20 %
	MRR              Metric = "MRR"               // of the tuned model
	MRRGain          Metric = "MRR gain"          // tuned less base
	RecallAt1        Metric = "recall at 1"       // of the tuned model
	RecallAt5        Metric = "recall at 5"       // of the tuned model
	RecallAt10       Metric = "recall at 10"      // of the tuned model
	MeanRank         Metric = "mean rank"         // of the tuned model
	LengthDivergence Metric = "length divergence" // of the tuned model
	EmoteDivergence  Metric = "emote divergence"  // of the tuned model
	Memorised        Metric = "memorised"         // share of the tuned model's answers that are long training responses

	CasingDivergence      Metric = "casing divergence"      // of the tuned model
	PunctuationDivergence Metric = "punctuation divergence" // of the tuned model
	TimingDivergence      Metric = "timing divergence"      // of the tuned model
	Mauve                 Metric = "MAUVE"                  // of the tuned model
	GeneralRise           Metric = "general rise"           // of the perplexity of plain answers, relative: 0.1 is a rise by 10 %
	GeneralDrift          Metric = "general drift"          // of the tuned model from the base on plain questions, nats a token
	Leaked                Metric = "leaked"                 // share of the holdout that nearly stands in training
)

// Rubric is the pass rate of the tuned model in the named suite.
func Rubric(name string) Metric { return rubricPrefix + Metric(name) }

const rubricPrefix = "rubric "

// Metric returns a number of the report.
func (r *Report) Metric(m Metric) (Measure, bool) {
	switch m {
	case Perplexity:
		return r.Perplexity.Tuned, true
	case PerplexityFall:
		c := r.Perplexity.Change
		return Measure{-c.Value, -c.High, -c.Low}, true
	case MRR:
		return r.Ranking.MRR.Tuned, true
	case MRRGain:
		return r.Ranking.MRR.Change, true
	case RecallAt1:
		return r.Ranking.RecallAt1.Tuned, true
	case RecallAt5:
		return r.Ranking.RecallAt5.Tuned, true
	case RecallAt10:
		return r.Ranking.RecallAt10.Tuned, true
	case MeanRank:
		return r.Ranking.MeanRank.Tuned, true
	case LengthDivergence:
		return r.Style.LengthDivergence.Tuned, true
	case EmoteDivergence:
		return r.Style.EmoteDivergence.Tuned, true
	case Memorised:
		return r.Memorisation.Long.Tuned, true
	case CasingDivergence:
		return r.Style.CasingDivergence.Tuned, true
	case PunctuationDivergence:
		return r.Style.PunctuationDivergence.Tuned, true
	case Mauve:
		return r.Style.Mauve.Tuned, true
	case TimingDivergence:
		if r.Style.Timing != nil {
			return r.Style.Timing.Divergence.Tuned, true
		}
	case GeneralRise:
		if r.General != nil {
			return r.General.Perplexity.Change, true
		}
	case GeneralDrift:
		if r.General != nil {
			return r.General.Drift, true
		}
	case Leaked:
		if r.Leaks != nil {
			share := r.Leaks.Share()
			return Measure{share, share, share}, true
		}
	}
	if name, ok := strings.CutPrefix(string(m), string(rubricPrefix)); ok {
		if i := slices.IndexFunc(r.Suites, func(s SuiteReport) bool { return s.Name == name }); i >= 0 {
			return r.Suites[i].Passed.Tuned, true
		}
	}
	return Measure{}, false
}

// Condition is what a report must fulfil: a metric at least, or at most, so much.
type Condition struct {
	Metric Metric  `json:"metric"`
	Least  bool    `json:"least"` // at least Bound; otherwise at most
	Bound  float64 `json:"bound"`
	Surely bool    `json:"surely,omitempty"` // the whole interval must fulfil it
}

// AtLeast wants a metric of at least x.
func AtLeast(m Metric, x float64) Condition { return Condition{Metric: m, Least: true, Bound: x} }

// AtMost wants a metric of at most x.
func AtMost(m Metric, x float64) Condition { return Condition{Metric: m, Bound: x} }

// Sure wants the condition of the whole interval.
func (c Condition) Sure() Condition {
	c.Surely = true
	return c
}

func (c Condition) String() string {
	word := "at most"
	if c.Least {
		word = "at least"
	}
	s := fmt.Sprintf("%s %s %.4g", c.Metric, word, c.Bound)
	if c.Surely {
		s += " for sure"
	}
	return s
}

// Gate is conditions that a tuned model must fulfil, all of them.
type Gate []Condition

// Failure is a condition that does not hold.
type Failure struct {
	Condition Condition `json:"condition"`
	Reason    string    `json:"reason"`
}

// Check returns the conditions that do not hold, in order.
func (g Gate) Check(r *Report) []Failure {
	var failures []Failure
	for _, c := range g {
		m, ok := r.Metric(c.Metric)
		if !ok {
			failures = append(failures, Failure{c, fmt.Sprintf("wanted %v, but the report has no %s%s", c, c.Metric, r.others(c.Metric))})
			continue
		}
		got := m.Value
		if c.Surely && c.Least {
			got = m.Low
		} else if c.Surely {
			got = m.High
		}
		if c.Least && got >= c.Bound || !c.Least && got <= c.Bound {
			continue
		}
		failures = append(failures, Failure{c, fmt.Sprintf("wanted %v, got %.4g (interval %.4g to %.4g)%s", c, m.Value, m.Low, m.High, c.Metric.says())})
	}
	return failures
}

// says tells what a metric is whose name does not.
func (m Metric) says() string {
	switch m {
	case PerplexityFall:
		return ", where 0.2 is a fall by 20 %"
	case MRRGain:
		return ", where MRR is 1 if all real responses are ranked first"
	case Memorised:
		return ", the share of answers that are long training responses word for word"
	case GeneralRise:
		return ", where 0.1 is a rise of the perplexity of plain answers by 10 %"
	case GeneralDrift:
		return " nats a token: how far the adapter moves what is said to plain questions, where 0 is not at all"
	case Leaked:
		return ", the share of held-out examples that nearly stand in training"
	}
	return ""
}

// others names the rubrics that there are, where one is asked for that there is not.
func (r *Report) others(m Metric) string {
	if !strings.HasPrefix(string(m), string(rubricPrefix)) {
		return ""
	}
	var names []string
	for _, s := range r.Suites {
		names = append(names, s.Name)
	}
	if len(names) == 0 {
		return " (give Eval its Suite)"
	}
	return fmt.Sprintf(" (its rubrics are %s, named in their files)", strings.Join(names, ", "))
}

// Err is the gate as an error: nil when all conditions hold.
func (g Gate) Err(r *Report) error {
	failures := g.Check(r)
	if len(failures) == 0 {
		return nil
	}
	reasons := make([]string, len(failures))
	for i, f := range failures {
		reasons[i] = f.Reason
	}
	return fmt.Errorf("gate: %s", strings.Join(reasons, "; "))
}
