package eval

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"banter/internal/markdown"
)

// reportVersion is raised when the meaning of a field changes.
const reportVersion = 1

// Report is what an evaluation found.
type Report struct {
	Version  int `json:"version"`
	Examples int `json:"examples"` // in the holdout
	Prompts  int `json:"prompts"`  // different ones in the holdout
	Training int `json:"training"` // examples that were trained on
	Tokens   int `json:"tokens"`   // of responses that were scored
	// Vocabulary is how many tokens the base knows: the perplexity of a blind guess among them.
	Vocabulary int    `json:"vocabulary,omitempty"`
	Seed       uint64 `json:"seed"`
	Resamples  int    `json:"resamples"`

	Perplexity   Compared      `json:"perplexity"` // of response tokens, end of turn included; the change is relative
	Ranking      Ranking       `json:"ranking"`
	Style        StyleReport   `json:"style"`
	Memorisation Memorisation  `json:"memorisation"`
	General      *General      `json:"general,omitempty"`
	Leaks        *Leaks        `json:"leaks,omitempty"`
	Suites       []SuiteReport `json:"suites,omitempty"`

	Skipped   []Skipped       `json:"skipped,omitempty"` // examples that were not scored, and why
	Samples   []Sample        `json:"samples"`
	Responses []ResponseScore `json:"responses"`
}

// Ranking is how high the real responses come among others: the protocol of LiveBot (Ma et al., AAAI 2019).
type Ranking struct {
	Prompts          int      `json:"prompts"`
	Truths           int      `json:"truths"`
	Wanted           int      `json:"wanted_candidates"`
	FewestCandidates int      `json:"fewest_candidates"` // fewer than wanted where there are not so many different responses
	MeanCandidates   float64  `json:"mean_candidates"`
	RecallAt1        Compared `json:"recall_at_1"` // share of real responses in the first place
	RecallAt5        Compared `json:"recall_at_5"`
	RecallAt10       Compared `json:"recall_at_10"`
	MeanRank         Compared `json:"mean_rank"`
	MRR              Compared `json:"mrr"` // mean of 1/rank
}

// StyleReport compares answers with the real responses to the same prompts.
type StyleReport struct {
	Real             Style    `json:"real"`
	Base             Style    `json:"base"`
	Tuned            Style    `json:"tuned"`
	LengthDivergence Compared `json:"length_divergence"` // Jensen–Shannon, of word counts, in bits: 0 alike, 1 wholly apart
	EmoteDivergence  Compared `json:"emote_divergence"`  // the same of emote counts

	CasingDivergence      Compared `json:"casing_divergence"`      // of kinds of casing: lower, UPPER, Sentence, miXed, none
	PunctuationDivergence Compared `json:"punctuation_divergence"` // of endings: none, . ! ? …, repeated, others
	Timing                *Timing  `json:"timing,omitempty"`       // nil where delays are not known
	Mauve                 Compared `json:"mauve"`                  // area under the divergence frontier: 1 alike, near 0 apart
	MauveCells            int      `json:"mauve_cells,omitempty"`  // that the texts were sorted into
}

// Timing compares how soon people wrote the real responses with how soon they write texts such as the answers.
type Timing struct {
	Divergence Compared `json:"divergence"` // Jensen–Shannon, in bits
	Floor      float64  `json:"floor"`      // that of the real responses when their own times are not looked at
}

// Memorisation is the share of answers that are a training response word for word. Chat repeats itself, so the share
// among real held-out responses stands beside it.
type Memorisation struct {
	Any      Compared `json:"any"`
	AnyReal  float64  `json:"any_real"`
	Long     Compared `json:"long"` // of five words or more
	LongReal float64  `json:"long_real"`
}

// SuiteReport is the result of one rubric.
type SuiteReport struct {
	Name   string       `json:"name"`
	Passed Compared     `json:"passed"` // mean over cases of the share of answers that pass
	Cases  []CaseReport `json:"cases"`
}

// CaseReport is the result of one case.
type CaseReport struct {
	Name    string   `json:"name"`
	Samples int      `json:"samples"`
	Base    []Judged `json:"base"`
	Tuned   []Judged `json:"tuned"`
}

// Judged is an answer with the rules that it broke.
type Judged struct {
	Answer string   `json:"answer"`
	Passed bool     `json:"passed"`
	Failed []string `json:"failed,omitempty"`
}

// Skipped is an example, or the ranking of a prompt, that was left out.
type Skipped struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// Sample is a prompt with what was said, and what the models say.
type Sample struct {
	Prompt string `json:"prompt"`
	Real   string `json:"real"`
	Base   string `json:"base"`
	Tuned  string `json:"tuned"`
}

// ResponseScore is one example's log-probability under both models.
type ResponseScore struct {
	ID     string  `json:"id"`
	Tokens int     `json:"tokens"`
	Base   float64 `json:"base"`
	Tuned  float64 `json:"tuned"`
}

// round keeps nine significant digits of each number. The last bits of exponentials and logarithms differ between
// processors, and a report must not.
func (r *Report) round() { roundValue(reflect.ValueOf(r).Elem()) }

func roundValue(v reflect.Value) {
	switch v.Kind() {
	case reflect.Float64:
		short, err := strconv.ParseFloat(strconv.FormatFloat(v.Float(), 'g', 9, 64), 64)
		if err == nil {
			v.SetFloat(short)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			roundValue(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			roundValue(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			roundValue(v.Index(i))
		}
	}
}

// JSON returns the report's bytes: the same report gives the same ones.
func (r *Report) JSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("write report: %w", err)
	}
	return b.Bytes(), nil
}

// ReadReport reads what JSON wrote.
func ReadReport(data []byte) (*Report, error) {
	r := &Report{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	if r.Version != reportVersion {
		return nil, fmt.Errorf("read report: version %d is not known", r.Version)
	}
	return r, nil
}

// Row is a line of the report's table.
type Row struct {
	Name   string
	Better string // "lower", "higher" or, where neither is, ""
	Compared
	Percent bool   // the change is relative
	Says    string // what it says, to somebody who does not know it
}

// Rows returns the measures that have a before and an after.
func (r *Report) Rows() []Row {
	rows := []Row{
		{"perplexity", "lower", r.Perplexity, true, "among how many equally likely tokens the model seems to choose, when it reads what was really answered"},
		{"recall at 1", "higher", r.Ranking.RecallAt1, false, "share of real responses that the model puts first among others"},
		{"recall at 5", "higher", r.Ranking.RecallAt5, false, "share of them among its first five"},
		{"recall at 10", "higher", r.Ranking.RecallAt10, false, "share of them among its first ten"},
		{"mean rank", "lower", r.Ranking.MeanRank, false, "the place of a real response, on average"},
		{"MRR", "higher", r.Ranking.MRR, false, "mean of one divided by the place: 1 if all come first"},
		{"length divergence", "lower", r.Style.LengthDivergence, false, "how differently long answers are from real ones: 0 alike, 1 wholly apart"},
		{"emote divergence", "lower", r.Style.EmoteDivergence, false, "the same of how many emotes they have"},
		{"casing divergence", "lower", r.Style.CasingDivergence, false, "the same of how they use capital letters"},
		{"punctuation divergence", "lower", r.Style.PunctuationDivergence, false, "the same of how they end"},
	}
	if r.Style.Timing != nil {
		rows = append(rows, Row{"timing divergence", "lower", r.Style.Timing.Divergence, false, "the same of how soon people write such texts"})
	}
	rows = append(rows,
		Row{"MAUVE", "higher", r.Style.Mauve, false, "how alike answers and real responses are as heaps of texts, to the base's own eye: 1 alike, near 0 apart; not whether an answer fits what was said"},
		Row{"memorised, any length", "", r.Memorisation.Any, false, "share of answers that stand word for word in training; chat repeats itself"},
		Row{"memorised, 5 words or more", "lower", r.Memorisation.Long, false, "share of answers that are long training responses word for word"})
	if r.General != nil {
		rows = append(rows, Row{"perplexity of plain answers", "lower", r.General.Perplexity, true, "whether plain language was lost: perplexity of plain answers to plain questions"})
	}
	for _, s := range r.Suites {
		rows = append(rows, Row{"rubric " + s.Name, "higher", s.Passed, false, "share of answers with the traits that the suite asks for"})
	}
	return rows
}

// Few prompts and few cells are those that a reader should be told of.
const (
	fewPrompts = 100
	fewCells   = 20
)

// Caveats say what of the numbers flatters, for somebody who reads them for the first time.
func (r *Report) Caveats() []string {
	var all []string
	if v := float64(r.Vocabulary); v > 0 && r.Perplexity.Base.Value > v {
		all = append(all, fmt.Sprintf("The base's perplexity is above the %d tokens that it knows: it is surer of wrong ones than a blind guess would be. "+
			"So the fall says little; the tuned model's own perplexity does.", r.Vocabulary))
	}
	if n := r.Style.MauveCells; n > 0 {
		few := ""
		if n < fewCells {
			few = ", so few that a high score comes easily"
		}
		all = append(all, fmt.Sprintf("MAUVE sorts all texts into %d cells by the base's own embeddings%s. It tells the manner of chat from another, and not sense from nonsense: read the answers.", n, few))
	}
	if r.Prompts < fewPrompts {
		all = append(all, fmt.Sprintf("%d prompts are few: what lies within the intervals may be chance.", r.Prompts))
	}
	return all
}

// signedPercent writes a share as a change in percent; what is nearest to none is +0.0, whatever its sign.
func signedPercent(x float64) string { return fmt.Sprintf("%+.1f %%", math.Round(1000*x)/10+0) }

// Table writes the report as Markdown, which reads well as plain text too.
func (r *Report) Table() string {
	var b strings.Builder
	b.WriteString("| | better | base | tuned | change |\n|---|---|---|---|---|\n")
	for _, row := range r.Rows() {
		change := func(x float64) string { return fmt.Sprintf("%+.3g", x) }
		if row.Percent {
			change = signedPercent
		}
		plain := func(m Measure) string { return fmt.Sprintf("%.4g (%.4g to %.4g)", m.Value, m.Low, m.High) }
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s (%s to %s) |\n", markdown.Text(row.Name), row.Better, plain(row.Base), plain(row.Tuned),
			change(row.Change.Value), change(row.Change.Low), change(row.Change.High))
	}
	b.WriteString("\n| style | real | base | tuned |\n|---|---|---|---|\n")
	for _, line := range []struct {
		name string
		of   func(Style) float64
	}{
		{"words a response", func(s Style) float64 { return s.Words }}, {"emotes a response", func(s Style) float64 { return s.Emotes }},
		{"lowercase", func(s Style) float64 { return s.Lowercase }}, {"ends in punctuation", func(s Style) float64 { return s.Punctuation }},
		{"distinct words", func(s Style) float64 { return s.Distinct1 }}, {"distinct pairs", func(s Style) float64 { return s.Distinct2 }},
		{"self-BLEU", func(s Style) float64 { return s.SelfBLEU }},
	} {
		fmt.Fprintf(&b, "| %s | %.3g | %.3g | %.3g |\n", line.name, line.of(r.Style.Real), line.of(r.Style.Base), line.of(r.Style.Tuned))
	}
	fmt.Fprintf(&b, "\n%d held-out examples of %d prompts, %d response tokens; intervals: 95 %%, paired bootstrap of %d resamples.\n", r.Examples, r.Prompts, r.Tokens, r.Resamples)
	fmt.Fprintf(&b, "Ranked: %d real responses to %d prompts among %.4g candidates on average", r.Ranking.Truths, r.Ranking.Prompts, r.Ranking.MeanCandidates)
	if r.Ranking.FewestCandidates < r.Ranking.Wanted {
		fmt.Fprintf(&b, " (%d at least: there are not %d different responses)", r.Ranking.FewestCandidates, r.Ranking.Wanted)
	}
	b.WriteString(".\n")
	if g := r.General; g != nil {
		fmt.Fprintf(&b, "On %d plain questions the tuned model's next token is %.3g nats from the base's (%.3g to %.3g).\n", g.Prompts, g.Drift.Value, g.Drift.Low, g.Drift.High)
	}
	if l := r.Leaks; l != nil {
		fmt.Fprintf(&b, "Leaks: of %d held-out examples %d have prompt and response of a training example, %d a long response like one, %d a prompt like one.\n", l.Holdout, l.Both, l.Responses, l.Prompts)
	}
	for _, c := range r.Caveats() {
		b.WriteString(c + "\n")
	}
	if n := len(r.Skipped); n > 0 {
		fmt.Fprintf(&b, "Left out: %d; the first, %s: %s.\n", n, markdown.Text(r.Skipped[0].ID), markdown.Text(r.Skipped[0].Reason))
	}
	return b.String()
}
