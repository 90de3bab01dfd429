package dsl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"banter/dsl/memo"
	"banter/internal/problem"
	"banter/stdlib/chat"
	"banter/stdlib/eval"
	"banter/stdlib/lm/llama"
	"banter/stdlib/models"
)

// Evaluation compares a base model with its adapter on held-out rows.
type Evaluation struct {
	step memo.Manifest
}

func (e Evaluation) manifest() memo.Manifest { return e.step }

// EvalOption changes how Eval measures.
type EvalOption interface{ eval(*evalOptions) }

type evalOptions struct {
	Options eval.Options `json:"options"`
	judge   string       // model; its digest enters the key
}

type evalOption func(*evalOptions)

func (f evalOption) eval(o *evalOptions) { f(o) }

func (n SeedOption) eval(o *evalOptions) { o.Options.Seed = uint64(n) }

// Candidates is how many responses each ranking chooses among. The default is 100.
func Candidates(n int) EvalOption {
	return evalOption(func(o *evalOptions) { o.Options.Candidates = n })
}

// RankAtMost bounds how many prompts are ranked, which takes most of the time. The default is 100.
func RankAtMost(prompts int) EvalOption {
	return evalOption(func(o *evalOptions) { o.Options.RankAtMost = prompts })
}

// AskAtMost bounds how many prompts the models answer, for style and memorisation. The default is 100.
func AskAtMost(prompts int) EvalOption {
	return evalOption(func(o *evalOptions) { o.Options.AskAtMost = prompts })
}

// Resamples is how many resamples each bootstrap takes. The default is 1000.
func Resamples(n int) EvalOption {
	return evalOption(func(o *evalOptions) { o.Options.Resamples = n })
}

// Suite adds the rubric in a YAML file: prompts with traits that answers must and must not have.
func Suite(file string) EvalOption {
	return evalOption(func(o *evalOptions) {
		data, err := os.ReadFile(file)
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		if err != nil {
			fail("eval", file, err)
		}
		suite, err := eval.ParseSuite(data)
		if err != nil {
			fail("eval", file, err)
		}
		o.Options.Suites = append(o.Options.Suites, suite)
	})
}

// Judge names a GGUF model that says whether an answer is as a rubric's judge rules want it: its yes is likelier than its
// no. llama.cpp in the native worker computes it.
func Judge(model string) EvalOption {
	return evalOption(func(o *evalOptions) { o.judge = model })
}

const evaluationFile = "evaluation.json"

// Eval measures the base alone and with the adapter on the held-out side of data: perplexity of the response tokens,
// ranking of the real responses among others, style, how much was learnt by heart, and what became of plain language, each
// with a bootstrap interval. What leaked from training into the holdout is counted first.
func Eval(t Tuned, data Data, options ...EvalOption) Evaluation {
	s := current()
	var o evalOptions
	for _, set := range options {
		set.eval(&o)
	}
	held := Holdout(data)
	model, err := t.model(s.ctx)
	if err != nil {
		fail("eval", t.base, err)
	}
	emotes, err := s.emotes(t.rows.pairs.words.streams)
	if err != nil {
		fail("eval", t.base, err)
	}
	o.Options.Emotes = emotes
	plain := o
	plain.Options = plain.Options.Canonical()
	step := memo.Step{Verb: "eval", Label: model.Name, Reads: []memo.Key{t.step.Key, held.step.Key}}.With("base", model.SHA256).With("options", plain)
	for name, source := range map[string]struct {
		m    memo.Manifest
		file string
	}{"adapter": {t.step, "adapter_model.safetensors"}, "holdout": {held.step, rowsFile}, "training": {t.rows.step, rowsFile}} {
		output, err := source.m.Output(source.file)
		if err != nil {
			fail("eval", t.base, err)
		}
		step = step.With("input."+name, output.Digest)
	}
	if o.judge != "" {
		if !slices.ContainsFunc(o.Options.Suites, func(suite eval.Suite) bool { _, _, asks := suite.Asks(); return asks }) {
			s.note("eval", model.Name, "no rubric has a judge rule, so that %s judges nothing", o.judge)
		}
		judge, err := models.Resolve(s.ctx, o.judge)
		if err == nil {
			step, err = s.withJudge(step, judge)
		}
		if err != nil {
			fail("eval", o.judge, err)
		}
	}
	m, err := s.do(step, func(ctx context.Context, d *memo.Draft) error { return s.evalInto(ctx, d, t, held, o) })
	if err != nil {
		fail("eval", t.base, err)
	}
	return Evaluation{m}
}

// withJudge says in a step's key who judges.
func (s *Session) withJudge(step memo.Step, judge models.Model) (memo.Step, error) {
	step = step.With("judge", judge.SHA256)
	step, engine, err := s.withEngine(step, judge)
	if err == nil && engine == nil {
		err = &problem.Error{Op: "judge with", Path: judge.Name, Err: errors.New("it is a Hugging Face folder, and a judge is a GGUF file"), Fix: "name a GGUF file, or give the path of the one in the folder"}
		if !s.pool.Found() {
			err = &problem.Error{Op: "judge with", Path: judge.Name, Err: errors.New("there is no native worker to compute it"), Fix: "run make native"}
		}
	}
	return step, err
}

// openJudge opens a judge; the caller closes it.
func openJudge(ctx context.Context, name string, engine llama.Engine) (eval.Judge, io.Closer, error) {
	v, err := openVoices(ctx, name, nil, engine)
	if err != nil {
		return nil, nil, err
	}
	score := llama.New(engine, v.Path, "", v.Format).Score
	return func(ctx context.Context, criterion, prompt, answer string) (bool, error) {
		asked := fmt.Sprintf("Somebody said: %s\nSomebody answered: %s\nIs this so of the answer: %s? Say yes or no.", prompt, answer, criterion)
		said, err := score(ctx, asked, "yes", "no")
		if err != nil {
			return false, err
		}
		return said[0].LogProb > said[1].LogProb, nil
	}, v, nil
}

func (s *Session) evalInto(ctx context.Context, d *memo.Draft, t Tuned, held Rows, o evalOptions) error {
	holdout, err := s.rows(held)
	if err != nil {
		return err
	}
	if len(holdout) == 0 {
		return errors.New("no row is held out: there is nothing to measure on (see HoldoutShare)")
	}
	training, _, err := s.sides(t.rows)
	if err != nil {
		return err
	}
	a, err := s.adapter(t)
	if err != nil {
		return err
	}
	model, err := t.model(ctx)
	if err != nil {
		return err
	}
	b, err := openBase(model)
	if err != nil {
		return err
	}
	defer b.Close()
	if o.judge != "" {
		judge, opened, err := openJudge(ctx, o.judge, s.pool)
		if err != nil {
			return err
		}
		defer opened.Close()
		o.Options.Judge = judge
	}
	report, err := eval.Run(ctx, b.Model, b.Format, a, evalExamples(holdout), evalExamples(training), o.Options)
	if err != nil {
		return err
	}
	raw, err := report.JSON()
	if err != nil {
		return err
	}
	if err := d.WriteBytes("evaluation.md", []byte(report.Table())); err != nil {
		return err
	}
	return d.WriteBytes(evaluationFile, raw)
}

func evalExamples(rows []Row) []eval.Example {
	out := make([]eval.Example, len(rows))
	for i := range rows {
		out[i] = eval.Example{ID: rows[i].ID, Stream: rows[i].Stream, Prompt: rows[i].Prompt(), Response: rows[i].Completion(), Delay: time.Duration(rows[i].DelayMS) * time.Millisecond}
	}
	return out
}

// emotes lists the emote codes that the chats of some streams hold, sorted.
func (s *Session) emotes(streams Streams) ([]string, error) {
	var all []string
	for _, l := range streams.list {
		messages, err := s.messages(l)
		if err != nil {
			return nil, err
		}
		all = append(all, emoteNames(messages)...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func emoteNames(messages []chat.Message) []string {
	var out []string
	for i := range messages {
		for _, e := range messages[i].Emotes {
			out = append(out, e.Name)
		}
	}
	return out
}

// Result is all that was measured.
func (e Evaluation) Result() eval.Report {
	s := current()
	o, err := e.step.Output(evaluationFile)
	if err == nil {
		var b []byte
		if b, err = s.store.Read(o); err == nil {
			var r *eval.Report
			if r, err = eval.ReadReport(b); err == nil {
				return *r
			}
		}
	}
	fail("eval", e.step.Key.Short(), err)
	return eval.Report{}
}

// String is the before/after table as Markdown.
func (e Evaluation) String() string {
	r := e.Result()
	return r.Table()
}

// Condition is what a Gate asks of an evaluation.
type Condition = eval.Condition

// PerplexityFalls wants the perplexity of the held-out responses to fall by at least this share: 0.2 is by 20 %.
func PerplexityFalls(share float64) Condition { return eval.AtLeast(eval.PerplexityFall, share) }

// RankingHolds wants the mean reciprocal rank of the real responses not to fall by more than 0.02, which chance can do.
func RankingHolds() Condition { return eval.AtLeast(eval.MRRGain, -0.02) }

// MemorisesAtMost wants at most this share of the answers to be long training responses word for word.
func MemorisesAtMost(share float64) Condition { return eval.AtMost(eval.Memorised, share) }

// RubricAtLeast wants the tuned model to pass at least this share of a suite.
func RubricAtLeast(suite string, share float64) Condition {
	return eval.AtLeast(eval.Rubric(suite), share)
}

// PlainLanguageHolds wants the perplexity of plain answers to plain questions not to rise by more than this share: 0.1 is by
// 10 %.
func PlainLanguageHolds(share float64) Condition { return eval.AtMost(eval.GeneralRise, share) }

// DriftAtMost wants the tuned model's next token on plain questions to be at most so many nats from the base's.
func DriftAtMost(nats float64) Condition { return eval.AtMost(eval.GeneralDrift, nats) }

// NoLeaks wants no held-out example that nearly stands in training.
func NoLeaks() Condition { return eval.AtMost(eval.Leaked, 0) }

// Surely wants a condition of the whole bootstrap interval, not only of the value.
func Surely(c Condition) Condition { return c.Sure() }

// Gate fails the run, with reasons, if the evaluation does not meet all conditions. What was made stays: the exit code of
// the run says it.
func Gate(e Evaluation, conditions ...Condition) {
	r := e.Result()
	var reasons []string
	for _, f := range eval.Gate(conditions).Check(&r) {
		reasons = append(reasons, f.Reason)
	}
	if len(reasons) > 0 {
		panic(&Error{Verb: "gate", Err: &GateError{reasons}})
	}
}
