package dsl

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"banter/dsl/memo"
	"banter/stdlib/align"
	"banter/stdlib/chart"
	"banter/stdlib/eval"
)

// Report writes a page to the out folder that tells the story of a run: one HTML file that needs nothing else. What it
// says follows from the values it is given, in any order: Streams, Transcripts, Pairs (those of Align and those of
// Filter), Rows, Tuned, Evaluation, Samples. Where streams came with their ground truth, it scores against that too.
func Report(name string, values ...any) {
	s := current()
	p, err := gather(values)
	if err == nil && !s.dry {
		err = s.writeOut(name, s.page(p).Write)
	}
	if err != nil {
		fail("report", name, err)
	}
}

// story is what a report tells of.
type story struct {
	streams   *Streams
	words     *Transcripts
	all, good *Pairs // as aligned, and as filtered
	rows      *Rows
	tuned     *Tuned
	evaluated *Evaluation
	samples   *Samples
}

func gather(values []any) (story, error) {
	var p story
	for i, v := range values {
		switch v := v.(type) {
		case Streams:
			p.streams = &v
		case Transcripts:
			p.words = &v
		case Pairs:
			if _, filtered := v.Filtered(); filtered {
				p.good = &v
			} else {
				p.all = &v
			}
		case Rows:
			p.rows = &v
		case Tuned:
			p.tuned = &v
		case Evaluation:
			p.evaluated = &v
		case Samples:
			p.samples = &v
		default:
			return p, fmt.Errorf("value %d is a %T, of which a report cannot tell", i+1, v)
		}
	}
	if p.good == nil {
		p.good = p.all
	}
	return p, nil
}

func (s *Session) page(p story) *chart.Report {
	r := &chart.Report{Title: "Banter report"}
	var score *Scored
	if p.all != nil {
		const rate = 0.1 // at which precision and recall are told
		if found, ok := Score(*p.all, rate); ok {
			score = &found
		}
	}
	if p.streams != nil {
		r.Subtitle = p.streams.summary()
	}
	p.tellResult(r, score)
	if p.streams != nil {
		p.streams.tell(r)
	}
	if p.words != nil {
		p.words.tell(r, score)
	}
	if p.all != nil {
		p.all.tellAlignment(r, score)
	}
	if p.good != nil {
		p.good.tellFilter(r)
		p.good.tellSamples(r, s)
	}
	if p.rows != nil {
		p.rows.tell(r)
	}
	if p.tuned != nil {
		p.tuned.tell(r)
	}
	if p.evaluated != nil {
		p.evaluated.tell(r)
	}
	if p.samples != nil {
		p.samples.tell(r)
	}
	r.Facts = s.keyFacts()
	return r
}

// tellResult says first what a reader came for: how many pairs, how good they are where that is known, and what the adapter
// learned from them.
func (p story) tellResult(r *chart.Report, score *Scored) {
	var cards []chart.Card
	var said []string
	if p.good != nil {
		kept := chart.Card{Label: "pairs kept", Value: chart.Grouped(p.good.Len())}
		if p.all != nil {
			kept.Detail = fmt.Sprintf("of %s that Align found", chart.Grouped(p.all.Len()))
		}
		cards = append(cards, kept)
		said = append(said, "A pair is what was said, and the chat message that answers it.")
	}
	if p.tuned != nil && p.rows != nil {
		f := p.rows.facts()
		said = append(said, fmt.Sprintf("%s was trained on %s of them", filepath.Base(p.tuned.base), chart.Grouped(f.Made.Train-f.Leaks.Dropped)))
		if p.evaluated != nil {
			said[len(said)-1] += fmt.Sprintf(", and is compared with itself before the training on %s that it never saw", chart.Grouped(p.evaluated.Result().Examples))
		}
		said[len(said)-1] += "."
	}
	if score != nil && score.Pairs != nil {
		cards = append(cards, score.Pairs.cards()[:2]...)
	}
	if p.evaluated != nil {
		cards = append(cards, p.evaluated.cards()[:2]...)
	}
	if len(cards) > 1 {
		r.Section("Result", strings.Join(said, " ")).Cards(cards...)
	}
}

// keyFacts names the key of every step. Steps of one verb run at once and end in any order: they are told by label.
func (s *Session) keyFacts() []chart.Fact {
	var verbs []string
	byVerb := map[string][]chart.Fact{}
	for _, ran := range s.Ran() {
		if ran.Err != nil {
			continue
		}
		verb := ran.Step.Verb
		if byVerb[verb] == nil {
			verbs = append(verbs, verb)
		}
		byVerb[verb] = append(byVerb[verb], chart.Fact{Name: strings.TrimSpace(verb + " " + ran.Step.Label), Value: string(ran.Key)})
	}
	var all []chart.Fact
	for _, verb := range verbs {
		slices.SortFunc(byVerb[verb], func(a, b chart.Fact) int { return strings.Compare(a.Name+a.Value, b.Name+b.Value) })
		all = append(all, slices.Compact(byVerb[verb])...)
	}
	return all
}

func (s Streams) summary() string {
	var length time.Duration
	messages := 0
	for _, l := range s.list {
		length += l.info.Recording.Duration()
		if l.info.Chat != nil {
			messages += l.info.Chat.Messages
		}
	}
	text := fmt.Sprintf("%s, %s of sound, %s", plural(len(s.list), "stream"), minutes(length), groupedPlural(messages, "chat message"))
	if n := len(s.skipped); n > 0 {
		text += fmt.Sprintf("; %s skipped, since what could not be read was to be left out", plural(n, "stream"))
	}
	return text
}

// groupedPlural is plural with thin spaces between thousands.
func groupedPlural(n int, what string) string {
	return strings.Replace(plural(n, what), fmt.Sprint(n), chart.Grouped(n), 1)
}

// minutes writes how long something lasts, for people.
func minutes(d time.Duration) string {
	if d < 10*time.Minute {
		return d.Round(time.Second).String()
	}
	d = d.Round(time.Minute)
	if d < time.Hour {
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
}

// number writes x to three digits, without an exponent as long as people read it.
func number(x float64) string {
	if x >= 1000 && x < 1e9 {
		return chart.Grouped(int(math.Round(x)))
	}
	return fmt.Sprintf("%.3g", x)
}

func share(x float64) string { return fmt.Sprintf("%.1f\u202f%%", 100*x) }

// told is of how many streams a page has charts of their own.
const told = 3

func tellRest(sec *chart.Section, streams int) {
	if text := rest(told, streams); text != "" {
		sec.Note(text)
	}
}

func (s Streams) tell(r *chart.Report) {
	sec := r.Section("Streams", "What was read. Times are stream time: since the first sample of the recording.")
	sec.Table(chart.Table{
		Columns: []chart.Column{{Name: "stream"}, {Name: "length", Right: true}, {Name: "sound"}, {Name: "messages", Right: true}, {Name: "chat log", Wide: true}, {Name: "clock", Wide: true}},
		Total:   len(s.list),
		Rows: func(yield func([]chart.Cell) bool) {
			for _, l := range s.list {
				row := []chart.Cell{chart.TextCell(l.info.ID), chart.TimeCell(l.info.Recording.Duration()), chart.TextCell(l.info.Recording.Codec), chart.NumberCell(0), chart.TextCell("none"), chart.TextCell("")}
				if c := l.info.Chat; c != nil {
					clock, how, _ := strings.Cut(c.Clock, ": ")
					row[3], row[4], row[5] = chart.NumberCell(float64(c.Messages)), chart.Cell{Text: c.Format, Detail: c.Summary}, chart.Cell{Text: clock, Detail: how}
				}
				if !yield(row) {
					return
				}
			}
		},
	})
	for _, bad := range s.skipped {
		sec.Warning(bad.ID + " was skipped: " + bad.Why)
	}
	for _, l := range s.list {
		for _, w := range l.info.Warnings {
			sec.Warning(l.info.ID + ": " + w)
		}
	}
	for _, l := range s.list[:min(len(s.list), told)] {
		sec.Chart(perMinute(l))
	}
	tellRest(sec, len(s.list))
}

func (t Transcripts) tell(r *chart.Report, score *Scored) {
	sec := r.Section("Speech", "What was said: words with their times.")
	words := 0
	var withheld []string
	for i, l := range t.streams.list {
		var f transcriptFacts
		if err := t.list[i].DecodeFacts(&f); err != nil {
			fail("report", l.info.ID, err)
		}
		words += f.Words
		if text := f.withheldText(); text != "" {
			_, what, _ := strings.Cut(text, ": ")
			withheld = append(withheld, l.info.ID+": "+what)
		}
	}
	cards := []chart.Card{{Label: "words", Value: chart.Grouped(words)}}
	if score != nil && score.Words != nil {
		w := score.Words
		cards = append(cards,
			chart.Card{Label: "words right", Value: share(float64(w.Correct) / float64(max(1, w.Words))), Detail: fmt.Sprintf("of %s spoken; word error rate %s", chart.Grouped(w.Words), share(w.WER)), Tone: chart.Green})
		if w.Timed > 0 {
			cards = append(cards,
				chart.Card{Label: "word start error", Value: fmt.Sprintf("%d ms", w.StartErrorMedianMS), Detail: "median of the worst stream"},
				chart.Card{Label: "starts within 200 ms", Value: share(w.Within200MS), Detail: fmt.Sprintf("of %s words with times", chart.Grouped(w.Timed))})
		} else {
			cards = append(cards, chart.Card{Label: "word start error", Value: "not known", Detail: "the transcripts have times for whole cues or segments, none for words"})
		}
	}
	sec.Cards(cards...)
	if len(withheld) > 0 {
		sec.Note("Withheld as not to be trusted: " + strings.Join(withheld, "; ") + ".")
	}
}

func (p Pairs) tellAlignment(r *chart.Report, score *Scored) {
	sec := r.Section("Alignment", "How far chat trails the recording, and which message answers which speech. Confidence is the probability that a message answers its window; the false discovery rate is estimated with decoys, without labels.")
	all := p.All()
	passing := 0
	for i := range all {
		if all[i].FDR <= 0.1 {
			passing++
		}
	}
	cards := []chart.Card{{Label: "pairs", Value: chart.Grouped(len(all)), Detail: "messages with any candidate"}, {Label: "at FDR 0.1", Value: chart.Grouped(passing)}}
	if score != nil && score.Pairs != nil {
		cards = append(cards, score.Pairs.cards()...)
	}
	sec.Cards(cards...)
	sec.Chart(p.histogram(Confidence, math.Inf(-1)))
	alignment := p.Alignment()
	for _, st := range alignment.Streams[:min(len(alignment.Streams), told)] {
		sec.Chart(p.lagChart(st))
		for _, note := range st.Diagnostics.Notes {
			sec.Note(st.Stream + ": " + note)
		}
	}
	tellRest(sec, len(alignment.Streams))
	sec.Chart(p.delayChart())
	sec.Chart(fdrChart(alignment.Streams[:min(len(alignment.Streams), shownStreams)]))
}

func (q PairScore) cards() []chart.Card {
	return []chart.Card{
		{Label: "precision", Value: share(q.Precision), Detail: "against the ground truth, at FDR 0.1", Tone: chart.Green},
		{Label: "recall", Value: share(q.Recall), Detail: fmt.Sprintf("of %d replies", q.Replies), Tone: chart.Green},
		{Label: "lag within 1 s", Value: share(q.LagWithin1S), Detail: fmt.Sprintf("of the time; 95 %% within %.2f s", q.LagErrorP95S)}}
}

func fdrChart(streams []align.StreamSummary) chart.Chart {
	var curves []chart.Curve
	for _, st := range streams {
		k := chart.Curve{Name: st.Stream}
		for _, p := range st.FDR {
			k.X, k.Y = append(k.X, float64(p.Pairs)), append(k.Y, p.FDR)
		}
		curves = append(curves, k)
	}
	c := chart.Curves("False discovery rate by number of pairs kept", "pairs kept", "false discovery rate", curves...)
	c.Y.Unit = chart.Percent
	return c
}

func (p Pairs) tellFilter(r *chart.Report) {
	f, ok := p.Filtered()
	if !ok {
		return
	}
	sec := r.Section("Filters", "What each rule took. Nothing is dropped in silence: dropped.parquet names every pair and its reason.")
	falls, examples := f.falls(2)
	sec.Chart(falls)
	masked := 0
	for _, st := range f.Steps {
		masked += st.Masked
	}
	if masked > 0 {
		sec.Note(fmt.Sprintf("%d personal details were masked.", masked))
	}
	sec.Table(chart.Table{Caption: examples.caption, Columns: examples.columns, Rows: chart.Rows(examples.rows...), Total: len(examples.rows)})
}

func (r Rows) tell(page *chart.Report) {
	f := r.facts()
	sec := page.Section("Dataset", "Training rows. Which are held out depends on stream and time alone, so that no row moves as data grows.")
	sec.Cards(
		chart.Card{Label: "training rows", Value: chart.Grouped(f.Made.Train - f.Leaks.Dropped)},
		chart.Card{Label: "held out", Value: chart.Grouped(f.Made.Holdout)},
		chart.Card{Label: "guarded", Value: chart.Grouped(f.Made.Guard), Detail: "too near to the edge of a held-out stretch"},
		chart.Card{Label: "leaks removed", Value: chart.Grouped(f.Leaks.Dropped), Detail: "training rows nearly the same as held-out ones"})
}

func (t Tuned) tell(r *chart.Report) {
	run := t.Run()
	sec := r.Section("Training", "A LoRA adapter on a frozen base, with loss on the responses alone.")
	cards := []chart.Card{
		{Label: "base", Value: filepath.Base(t.base)}, {Label: "steps", Value: chart.Grouped(len(run.History))},
		{Label: "rank", Value: chart.Grouped(run.Options.Rank)}, {Label: "learned tokens", Value: chart.Grouped(run.Learned), Detail: "in one pass"}}
	sec.Cards(cards...)
	sec.Chart(lossCurve(run))
}

// perplexityFall says how far the perplexity falls, by a share; as a factor where shares run out of digits.
func perplexityFall(fall eval.Measure) string {
	if fall.Low > 0.9 && fall.High < 1 {
		by := func(share float64) string { return number(1 / (1 - share)) }
		return fmt.Sprintf("falls by a factor of %s; 95\u202f%%: %s to %s", by(fall.Value), by(fall.Low), by(fall.High))
	}
	return fmt.Sprintf("falls by %s; 95\u202f%%: %s to %s", share(fall.Value), share(fall.Low), share(fall.High))
}

func (e Evaluation) tell(r *chart.Report) {
	res := e.Result()
	sec := r.Section("Before and after", fmt.Sprintf("The base alone and with the adapter, on %d held-out responses to %d prompts. Intervals are 95 %%, by a paired bootstrap of %d resamples.", res.Examples, res.Prompts, res.Resamples))
	sec.Cards(e.cards()...)
	sec.Table(chart.BeforeAfter("", e.comparisons()))
	for _, note := range e.notes() {
		sec.Note(note)
	}
	measures, style, rubrics := e.measures(), e.style(), e.rubrics()
	sec.Table(chart.Table{Caption: measures.caption, Columns: measures.columns, Rows: chart.Rows(measures.rows...), Total: len(measures.rows)})
	sec.Table(chart.Table{Caption: style.caption, Columns: style.columns, Rows: chart.Rows(style.rows...), Total: len(style.rows)})
	if len(rubrics.rows) > 0 {
		sec.Table(chart.Table{Caption: rubrics.caption, Columns: rubrics.columns, Rows: chart.Rows(rubrics.rows...), Total: len(rubrics.rows)})
	}
}

// cards are what to look at first.
func (e Evaluation) cards() []chart.Card {
	res := e.Result()
	tone := func(good bool) chart.Tone {
		if good {
			return chart.Green
		}
		return chart.Red
	}
	fall, _ := res.Metric(eval.PerplexityFall)
	gain := res.Ranking.MRR.Change
	cards := []chart.Card{
		{Label: "perplexity", Value: fmt.Sprintf("%s → %s", number(res.Perplexity.Base.Value), number(res.Perplexity.Tuned.Value)), Detail: perplexityFall(fall), Tone: tone(fall.Low > 0)},
		{Label: "mean reciprocal rank", Value: fmt.Sprintf("%.3f → %.3f", res.Ranking.MRR.Base.Value, res.Ranking.MRR.Tuned.Value), Detail: fmt.Sprintf("of the real response among others; %+.3f; 95\u202f%%: %+.3f to %+.3f", gain.Value, gain.Low, gain.High), Tone: tone(gain.High >= 0)},
		{Label: "learnt by heart", Value: share(res.Memorisation.Long.Tuned.Value), Detail: "answers of 5 words or more from training", Tone: tone(res.Memorisation.Long.Tuned.Value <= res.Memorisation.LongReal+0.05)}}
	if g := res.General; g != nil {
		cards = append(cards, chart.Card{Label: "plain answers' perplexity", Value: strings.Replace(fmt.Sprintf("%+.1f\u202f%%", math.Round(1000*g.Perplexity.Change.Value)/10+0), "-", "−", 1),
			Detail: fmt.Sprintf("%d plain questions; %.2f nats a token from the base", g.Prompts, g.Drift.Value), Tone: tone(g.Perplexity.Change.Low <= 0.1)})
	}
	if l := res.Leaks; l != nil {
		cards = append(cards, chart.Card{Label: "leaks", Value: chart.Grouped(l.Leaked), Detail: fmt.Sprintf("of %d held-out rows nearly stand in training", l.Holdout), Tone: tone(l.Leaked == 0)})
	}
	return cards
}

// notes are what else there is to say of the numbers.
func (e Evaluation) notes() []string {
	res := e.Result()
	notes := res.Caveats()
	if n := res.Ranking; n.FewestCandidates < n.Wanted {
		notes = append(notes, fmt.Sprintf("Ranking is among %.0f candidates on average: there are not %d different responses for every prompt.", n.MeanCandidates, n.Wanted))
	}
	if t := res.Style.Timing; t != nil {
		notes = append(notes, fmt.Sprintf("Timing holds how soon people wrote the real responses against how soon they write texts such as the answers; the real texts themselves come to %.2g.", t.Floor))
	}
	if n := len(res.Skipped); n > 0 {
		notes = append(notes, fmt.Sprintf("%s left out; the first, %s: %s.", plural(n, "example"), res.Skipped[0].ID, res.Skipped[0].Reason))
	}
	return notes
}

// measures explain what was compared.
func (e Evaluation) measures() grid {
	g := grid{caption: "What the measures say", columns: []chart.Column{{Name: "measure"}, {Name: "what it says", Wide: true}}}
	res := e.Result()
	for _, row := range res.Rows() {
		g.rows = append(g.rows, []chart.Cell{chart.TextCell(row.Name), chart.TextCell(row.Says)})
	}
	return g
}

// style describes the real responses and both sides' answers to the same prompts.
func (e Evaluation) style() grid {
	s := e.Result().Style
	g := grid{caption: "Manner of the answers", columns: []chart.Column{{Name: "of the responses"}, {Name: "real", Right: true}, {Name: "base", Right: true}, {Name: "tuned", Right: true}}}
	line := func(name string, of func(eval.Style) float64, write func(float64) string) {
		row := []chart.Cell{chart.TextCell(name)}
		for _, side := range []eval.Style{s.Real, s.Base, s.Tuned} {
			row = append(row, chart.Cell{Text: write(of(side)), Number: of(side), Sort: true})
		}
		g.rows = append(g.rows, row)
	}
	plain := func(x float64) string { return fmt.Sprintf("%.2f", x) }
	line("words", func(s eval.Style) float64 { return s.Words }, plain)
	line("emotes", func(s eval.Style) float64 { return s.Emotes }, plain)
	line("without a capital", func(s eval.Style) float64 { return s.Lowercase }, share)
	line("end in punctuation", func(s eval.Style) float64 { return s.Punctuation }, share)
	line("distinct words", func(s eval.Style) float64 { return s.Distinct1 }, share)
	line("distinct pairs of words", func(s eval.Style) float64 { return s.Distinct2 }, share)
	line("self-BLEU", func(s eval.Style) float64 { return s.SelfBLEU }, plain)
	return g
}

// rubrics are the cases of all suites, with how many answers passed.
func (e Evaluation) rubrics() grid {
	g := grid{caption: "Rubrics: answers that passed", columns: []chart.Column{{Name: "rubric"}, {Name: "case"}, {Name: "base", Right: true}, {Name: "tuned", Right: true}, {Name: "an answer that did not", Wide: true}}}
	passed := func(list []eval.Judged) chart.Cell {
		n := 0
		for _, j := range list {
			if j.Passed {
				n++
			}
		}
		return chart.Cell{Text: fmt.Sprintf("%d of %d", n, len(list)), Number: float64(n), Sort: true}
	}
	for _, s := range e.Result().Suites {
		for _, c := range s.Cases {
			example := chart.Cell{}
			for _, j := range c.Tuned {
				if !j.Passed {
					example = chart.Cell{Text: j.Answer, Detail: strings.Join(j.Failed, "; ")}
					break
				}
			}
			g.rows = append(g.rows, []chart.Cell{chart.TextCell(s.Name), chart.TextCell(c.Name), passed(c.Base), passed(c.Tuned), example})
		}
	}
	return g
}

// comparisons are the measures before and after.
func (e Evaluation) comparisons() []chart.Comparison {
	res := e.Result()
	var lines []chart.Comparison
	for _, row := range res.Rows() {
		lines = append(lines, chart.Comparison{Name: row.Name, Before: chart.Estimate(row.Base), After: chart.Estimate(row.Tuned), LowerIsBetter: row.Better == "lower", Neutral: row.Better == ""})
	}
	return lines
}

func (s Samples) tell(r *chart.Report) {
	sec := r.Section("Answers", "What both say to the same held-out prompts.")
	var rows [][]chart.Cell
	for _, a := range s.All() {
		rows = append(rows, []chart.Cell{chart.TextCell(a.Prompt), chart.TextCell(a.Base), chart.TextCell(a.Tuned), chart.TextCell(a.Real)})
	}
	sec.Table(chart.Table{Columns: []chart.Column{{Name: "said", Wide: true}, {Name: "base", Wide: true}, {Name: "tuned", Wide: true}, {Name: "chat really said", Wide: true}}, Rows: chart.Rows(rows...), Total: len(rows)})
}

// tellSamples shows ten pairs, evenly spread, with where they come from.
func (p Pairs) tellSamples(r *chart.Report, s *Session) {
	all := p.All()
	sec := r.Section("Ten pairs", "Evenly spread over the pairs that were kept. Times are stream time; the delay is what is left of the time between both when the lag is taken off.")
	n := min(10, len(all))
	steps := s.lineage(p.step)
	var shown []chart.PairSample
	for i := range n {
		q := all[i*len(all)/n]
		lineage := []chart.Fact{{Name: "message", Value: q.MessageID}, {Name: "author", Value: q.AuthorHash}, {Name: "words", Value: fmt.Sprintf("%d to %d", q.FirstWord, q.LastWord)}}
		for _, l := range p.words.streams.list {
			if l.info.ID == q.Stream {
				lineage = append(lineage, chart.Fact{Name: "recording SHA-256", Value: string(l.info.Recording.SHA256)})
			}
		}
		for _, k := range slices.Backward(steps) {
			if m, ok, err := s.store.Lookup(memo.Key(k)); err == nil && ok && (m.Label == q.Stream || m.Verb == "align" || m.Verb == "filter") {
				lineage = append(lineage, chart.Fact{Name: m.Verb, Value: k})
			}
		}
		shown = append(shown, chart.PairSample{Stream: q.Stream, SpeechStart: q.SpeechStart, SpeechEnd: q.SpeechEnd, Speech: q.Speech, MessageTime: q.MessageTime,
			Response: q.Response, Lag: q.Lag, Delay: q.Delay, Confidence: q.Confidence, FDR: q.FDR, Lineage: lineage})
	}
	sec.Pairs(shown)
}
