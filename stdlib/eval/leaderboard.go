package eval

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// Entry is a run with what its evaluation found.
type Entry struct {
	Name   string
	Report *Report
}

// Standing is a run's place on a leaderboard.
type Standing struct {
	Place   int                `json:"place"`
	Name    string             `json:"name"`
	Metrics map[Metric]Measure `json:"metrics"`
	// Behind is how much higher the perplexity of the held-out responses is than the first run's, relative, by a paired
	// bootstrap over the same responses. It is nil for the first, and where the holdouts are not the same.
	Behind *Measure `json:"behind,omitempty"`
	Note   string   `json:"note,omitempty"`
}

// Leaderboard is runs in order of one metric.
type Leaderboard struct {
	By     Metric     `json:"by"`
	Runs   []Standing `json:"runs"`
	Shared bool       `json:"same_holdout"` // all were measured on the same responses
}

// column is a metric on a leaderboard.
type column struct {
	Metric
	head  string
	lower bool // is better
}

var boardMetrics = []column{{Perplexity, "perplexity", true}, {MRR, "MRR", false}, {RecallAt1, "R@1", false}, {Mauve, "MAUVE", false}, {LengthDivergence, "length", true},
	{EmoteDivergence, "emotes", true}, {CasingDivergence, "casing", true}, {PunctuationDivergence, "punctuation", true}, {TimingDivergence, "timing", true},
	{Memorised, "memorised", true}, {GeneralRise, "plain rise", true}, {GeneralDrift, "drift", true}, {Leaked, "leaked", true}}

// BoardMetrics lists what a leaderboard can be ordered by.
func BoardMetrics() []Metric {
	var list []Metric
	for _, m := range boardMetrics {
		list = append(list, m.Metric)
	}
	return list
}

// NewLeaderboard orders runs by a metric, the best first; those without it come last, in order of names.
func NewLeaderboard(entries []Entry, by Metric) (*Leaderboard, error) {
	at := slices.IndexFunc(boardMetrics, func(c column) bool { return c.Metric == by })
	if at < 0 {
		return nil, fmt.Errorf("leaderboard: %q is not something to order by (use one of %v)", by, BoardMetrics())
	}
	b := &Leaderboard{By: by, Shared: true}
	sorted := slices.Clone(entries)
	value := func(e Entry) float64 {
		m, ok := e.Report.Metric(by)
		if !ok {
			return math.Inf(1)
		}
		if boardMetrics[at].lower {
			return m.Value
		}
		return -m.Value
	}
	slices.SortStableFunc(sorted, func(x, y Entry) int {
		return cmp.Or(cmp.Compare(value(x), value(y)), strings.Compare(x.Name, y.Name))
	})
	for i, e := range sorted {
		s := Standing{Place: i + 1, Name: e.Name, Metrics: map[Metric]Measure{}}
		for _, m := range boardMetrics {
			if v, ok := e.Report.Metric(m.Metric); ok {
				s.Metrics[m.Metric] = v
			}
		}
		if i > 0 {
			behind, ok := pairedPerplexity(sorted[0].Report, e.Report)
			if ok {
				s.Behind = &behind
			} else {
				s.Note, b.Shared = "another holdout than the first run's", false
			}
		}
		if _, ok := s.Metrics[by]; !ok {
			s.Note = strings.TrimPrefix(s.Note+"; no "+string(by), "; ")
		}
		b.Runs = append(b.Runs, s)
	}
	return b, nil
}

// pairedPerplexity compares two tuned models on the responses that both were measured on, if those are the same.
func pairedPerplexity(first, other *Report) (Measure, bool) {
	if len(first.Responses) == 0 || len(first.Responses) != len(other.Responses) {
		return Measure{}, false
	}
	scores := map[string]ResponseScore{}
	for _, r := range first.Responses {
		scores[r.ID] = r
	}
	var units []perplexityUnit
	for _, r := range other.Responses {
		s, ok := scores[r.ID]
		if !ok || s.Tokens != r.Tokens { // other tokens: another base's tokenizer, or another text
			return Measure{}, false
		}
		units = append(units, perplexityUnit{[2]float64{s.Tuned, r.Tuned}, r.Tokens})
	}
	return comparePerplexity(units, first.Seed, max(100, first.Resamples)).Change, true
}

// JSON returns the leaderboard's bytes.
func (b *Leaderboard) JSON() ([]byte, error) {
	out, err := json.MarshalIndent(b, "", " ")
	return append(out, '\n'), err
}

// Heads are the columns after place and name.
func (b *Leaderboard) Heads() []string {
	heads := []string{"behind"}
	for _, m := range boardMetrics {
		heads = append(heads, m.head)
	}
	return heads
}

// Cells are a run's values under Heads, "" where there is none.
func (b *Leaderboard) Cells(s Standing) []string {
	behind := ""
	if s.Behind != nil {
		behind = fmt.Sprintf("%s (%s to %s)", signedPercent(s.Behind.Value), strings.TrimSuffix(signedPercent(s.Behind.Low), " %"), strings.TrimSuffix(signedPercent(s.Behind.High), " %"))
	}
	cells := []string{behind}
	for _, m := range boardMetrics {
		text := ""
		if v, ok := s.Metrics[m.Metric]; ok {
			text = fmt.Sprintf("%.4g", v.Value)
			if m.Metric == b.By {
				text = fmt.Sprintf("%.4g (%.4g to %.4g)", v.Value, v.Low, v.High)
			}
		}
		cells = append(cells, text)
	}
	return cells
}

// Explain says how to read it.
func (b *Leaderboard) Explain() string {
	text := fmt.Sprintf("Ordered by %s. Behind: how much higher a run's perplexity is than the first one's, on the same responses, with its 95 %% interval by a paired bootstrap; an interval around 0 tells no difference.", b.By)
	if !b.Shared {
		text += " Not all runs have the same holdout: what was measured on different responses cannot be compared."
	}
	return text
}

// Table is the leaderboard as aligned text.
func (b *Leaderboard) Table() string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "#\trun\t%s\n", strings.Join(b.Heads(), "\t"))
	for _, s := range b.Runs {
		name := s.Name
		if s.Note != "" {
			name += " *"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\n", s.Place, name, strings.Join(b.Cells(s), "\t"))
	}
	_ = w.Flush() // a strings.Builder takes everything
	for _, s := range b.Runs {
		if s.Note != "" {
			fmt.Fprintf(&out, "* %s: %s\n", s.Name, s.Note)
		}
	}
	return out.String() + "\n" + b.Explain() + "\n"
}
