package eval

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/generate"

	"gopkg.in/yaml.v3"
)

// Suite is a rubric for a persona: prompts, and the traits that its answers must and must not have. As YAML:
//
//	name: kitchen chat
//	cases:
//	  - name: picks the second
//	    prompt: Garlic or honey?
//	    samples: 4
//	    require:
//	      - any_of: [honey]
//	      - max_words: 8
//	    forbid:
//	      - any_of: ["as an ai"]
//	      - matches: '[.]$'
type Suite struct {
	Name  string `yaml:"name" json:"name"`
	Cases []Case `yaml:"cases" json:"cases"`
}

// Case is one prompt of a suite.
type Case struct {
	Name    string `yaml:"name" json:"name"`
	Prompt  string `yaml:"prompt" json:"prompt"`
	Samples int    `yaml:"samples" json:"samples,omitempty"` // answers to judge; 0: 4
	Require []Rule `yaml:"require" json:"require,omitempty"`
	Forbid  []Rule `yaml:"forbid" json:"forbid,omitempty"`
}

// Rule is one trait; exactly one of its fields is set. Texts are compared without regard to case.
type Rule struct {
	AnyOf     []string `yaml:"any_of" json:"any_of,omitempty"`       // one of these words or phrases is there
	AllOf     []string `yaml:"all_of" json:"all_of,omitempty"`       // all of them are
	Matches   string   `yaml:"matches" json:"matches,omitempty"`     // a regular expression (RE2) matches, with regard to case
	MinWords  *int     `yaml:"min_words" json:"min_words,omitempty"` // at least so many words
	MaxWords  *int     `yaml:"max_words" json:"max_words,omitempty"` // at most so many
	Emotes    *int     `yaml:"emotes" json:"emotes,omitempty"`       // at least so many emotes
	Lowercase bool     `yaml:"lowercase" json:"lowercase,omitempty"` // no capital letters, emotes aside
	Judge     string   `yaml:"judge" json:"judge,omitempty"`         // a model says that this is so of the answer: "it sounds bored"

	pattern *regexp.Regexp
}

// Bounds on a suite; what is over them is refused.
const (
	maxSuite   = 1 << 20 // bytes of YAML
	maxCases   = 1000
	maxSamples = 100
)

// ParseSuite reads a suite from YAML. Unknown fields are errors: a misspelt trait would otherwise always hold.
func ParseSuite(data []byte) (Suite, error) {
	if len(data) > maxSuite {
		return Suite{}, fmt.Errorf("read rubric: %d bytes are too many", len(data))
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	var s Suite
	if err := dec.Decode(&s); err != nil {
		return Suite{}, fmt.Errorf("read rubric: %s", told(err))
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return Suite{}, errors.New("read rubric: there is a second document after the first (use one file for each suite)")
	}
	if s.Name == "" || len(s.Cases) == 0 || len(s.Cases) > maxCases {
		return Suite{}, fmt.Errorf("read rubric: a suite has a name and 1 to %d cases", maxCases)
	}
	seen := map[string]bool{}
	for i := range s.Cases {
		c := &s.Cases[i]
		if c.Name == "" || seen[c.Name] {
			return Suite{}, fmt.Errorf("read rubric %s: case %d has no name of its own", s.Name, i+1)
		}
		seen[c.Name] = true
		if err := c.check(); err != nil {
			return Suite{}, fmt.Errorf("read rubric %s: case %q: %w", s.Name, c.Name, err)
		}
	}
	return s, nil
}

func (c *Case) check() error {
	if strings.TrimSpace(c.Prompt) == "" {
		return errors.New("it has no prompt")
	}
	if c.Samples == 0 {
		c.Samples = 4
	}
	if c.Samples < 1 || c.Samples > maxSamples {
		return fmt.Errorf("samples is %d, not between 1 and %d", c.Samples, maxSamples)
	}
	if len(c.Require)+len(c.Forbid) == 0 {
		return errors.New("it neither requires nor forbids anything")
	}
	for _, rules := range [][]Rule{c.Require, c.Forbid} {
		for i := range rules {
			if err := rules[i].compile(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Rule) compile() error {
	set := 0
	for _, is := range []bool{len(r.AnyOf) > 0, len(r.AllOf) > 0, r.Matches != "", r.MinWords != nil, r.MaxWords != nil, r.Emotes != nil, r.Lowercase, r.Judge != ""} {
		if is {
			set++
		}
	}
	if set != 1 {
		if set == 0 {
			return errors.New("a rule is empty: it wants one of " + fieldsOf["Rule"])
		}
		return fmt.Errorf("a rule has %d traits; write each as a rule of its own", set)
	}
	if slices.Contains(r.AnyOf, "") || slices.Contains(r.AllOf, "") {
		return errors.New("an empty phrase is in every answer")
	}
	if r.Matches != "" {
		var err error
		if r.pattern, err = regexp.Compile(r.Matches); err != nil {
			return fmt.Errorf("matches: %w", err)
		}
	}
	return nil
}

// fieldsOf names what each type of a suite may have.
var fieldsOf = map[string]string{
	"Suite": "name, cases",
	"Case":  "name, prompt, samples, require, forbid",
	"Rule":  "any_of, all_of, matches, min_words, max_words, emotes, lowercase, judge",
}

// The two ways in which the YAML library says that a file does not fit, in terms of Go.
var (
	unknownField = regexp.MustCompile(`^(line \d+: )field (.*) not found in type eval\.(\w+)$`)
	wrongType    = regexp.MustCompile(`(?s)^(line \d+: )cannot unmarshal !!\w+ ?(.*) into (.*)$`)
)

// told says what is wrong with a file in terms of the file.
func told(err error) string {
	var misfits *yaml.TypeError
	if errors.Is(err, io.EOF) {
		return "it is empty"
	}
	if !errors.As(err, &misfits) {
		return strings.TrimPrefix(err.Error(), "yaml: ")
	}
	var lines []string
	for _, line := range misfits.Errors {
		if m := unknownField.FindStringSubmatch(line); m != nil {
			line = fmt.Sprintf("%sthere is no %q here, but %s", m[1], m[2], fieldsOf[m[3]])
		} else if m := wrongType.FindStringSubmatch(line); m != nil {
			want := map[string]string{"string": "a text", "[]string": "a list of texts: [one, two]", "int": "a whole number", "bool": "true or false",
				"[]eval.Case": "a list of cases", "[]eval.Rule": "a list of rules", "eval.Case": "a case", "eval.Rule": "a rule", "eval.Suite": "a suite"}[m[3]]
			line = fmt.Sprintf("%s%s should be %s", m[1], cmp.Or(m[2], "this"), cmp.Or(want, m[3]))
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "; ")
}

func (r *Rule) String() string {
	switch {
	case len(r.AnyOf) > 0:
		return "any of " + strings.Join(r.AnyOf, ", ")
	case len(r.AllOf) > 0:
		return "all of " + strings.Join(r.AllOf, ", ")
	case r.Matches != "":
		return "matches " + r.Matches
	case r.MinWords != nil:
		return fmt.Sprintf("at least %d words", *r.MinWords)
	case r.MaxWords != nil:
		return fmt.Sprintf("at most %d words", *r.MaxWords)
	case r.Emotes != nil:
		return fmt.Sprintf("at least %d emotes", *r.Emotes)
	case r.Judge != "":
		return "judged that " + r.Judge
	}
	return "lowercase"
}

// Judge is a model that says whether something is so of an answer to a prompt.
type Judge func(ctx context.Context, criterion, prompt, answer string) (bool, error)

// holds says whether an answer has the trait. verdicts are a judge's, by criterion.
func (r *Rule) holds(answer string, emotes emoteCounter, verdicts map[string]bool) bool {
	switch {
	case r.Judge != "":
		return verdicts[r.Judge]
	case len(r.AnyOf) > 0:
		return slices.ContainsFunc(r.AnyOf, func(p string) bool { return says(answer, p) })
	case len(r.AllOf) > 0:
		return !slices.ContainsFunc(r.AllOf, func(p string) bool { return !says(answer, p) })
	case r.pattern != nil:
		return r.pattern.MatchString(answer)
	case r.MinWords != nil:
		return len(words(answer)) >= *r.MinWords
	case r.MaxWords != nil:
		return len(words(answer)) <= *r.MaxWords
	case r.Emotes != nil:
		return emotes.count(answer) >= *r.Emotes
	}
	for _, w := range words(answer) {
		if !emotes.is(w) && strings.ToLower(w) != w {
			return false
		}
	}
	return true
}

// says finds a phrase as whole words.
func says(answer, phrase string) bool {
	a, p := words(strings.ToLower(answer)), words(strings.ToLower(phrase))
	for i := 0; i+len(p) <= len(a); i++ {
		if slices.Equal(a[i:i+len(p)], p) {
			return true
		}
	}
	return false
}

// answers counts the answers that a suite wants of one model.
func (s Suite) answers() int {
	n := 0
	for _, c := range s.Cases {
		n += max(1, c.Samples)
	}
	return n
}

// rubrics has both models answer all suites and judges the answers.
func (e *evaluation) rubrics(ctx context.Context, r *Report) error {
	emotes := newEmoteCounter(e.Emotes)
	for _, suite := range e.Suites {
		type task struct{ c, sample int }
		var tasks []task
		cases := slices.Clone(suite.Cases)
		for i := range cases {
			cases[i].Require, cases[i].Forbid = slices.Clone(cases[i].Require), slices.Clone(cases[i].Forbid)
			if err := cases[i].check(); err != nil { // a suite may have been made in code
				return fmt.Errorf("rubric %s: case %q: %w", suite.Name, cases[i].Name, err)
			}
			for k := range cases[i].Samples {
				tasks = append(tasks, task{i, k})
			}
		}
		made := [2][]string{make([]string, len(tasks)), make([]string, len(tasks))}
		verdicts := [2][]map[string]bool{make([]map[string]bool, len(tasks)), make([]map[string]bool, len(tasks))}
		err := e.each(ctx, len(tasks), "rubric "+suite.Name, func(ctx context.Context, s side, which, i int) error {
			c := cases[tasks[i].c]
			a, err := s.Answer(ctx, []chattemplate.Message{{Role: "user", Content: c.Prompt}}, generate.Options{Sampling: e.Sampling, MaxTokens: e.MaxTokens,
				Seed: randomFor(e.Seed, "rubric", suite.Name, c.Name, strconv.Itoa(tasks[i].sample)).Uint64()}, nil)
			if err != nil {
				return fmt.Errorf("rubric %s: case %q: %w", suite.Name, c.Name, err)
			}
			made[which][i] = strings.TrimSpace(a.Text)
			for _, criterion := range c.criteria() {
				said, err := e.Judge(ctx, criterion, c.Prompt, made[which][i])
				if err != nil {
					return fmt.Errorf("rubric %s: case %q: judge: %w", suite.Name, c.Name, err)
				}
				if verdicts[which][i] == nil {
					verdicts[which][i] = map[string]bool{}
				}
				verdicts[which][i][criterion] = said
			}
			return nil
		})
		if err != nil {
			return err
		}
		report := SuiteReport{Name: suite.Name}
		passed := [2][]float64{make([]float64, len(cases)), make([]float64, len(cases))} // share of each case's answers
		for i, c := range cases {
			cr := CaseReport{Name: c.Name, Samples: c.Samples}
			for k, t := range tasks {
				if t.c != i {
					continue
				}
				for which := range made {
					j := c.judge(made[which][k], emotes, verdicts[which][k])
					if j.Passed {
						passed[which][i] += 1 / float64(c.Samples)
					}
					if which == 0 {
						cr.Base = append(cr.Base, j)
					} else {
						cr.Tuned = append(cr.Tuned, j)
					}
				}
			}
			report.Cases = append(report.Cases, cr)
		}
		report.Passed = bootstrap(len(cases), e.Seed, e.Resamples, func(weights []int) (float64, float64) {
			var sum [2]float64
			n := 0.0
			for i, w := range weights {
				for k := range sum {
					sum[k] += float64(w) * passed[k][i]
				}
				n += float64(w)
			}
			return sum[0] / n, sum[1] / n
		}, difference)
		r.Suites = append(r.Suites, report)
	}
	return nil
}

// criteria are what the case's rules ask of a judge.
func (c Case) criteria() []string {
	var list []string
	for _, rules := range [][]Rule{c.Require, c.Forbid} {
		for _, r := range rules {
			if r.Judge != "" {
				list = append(list, r.Judge)
			}
		}
	}
	return list
}

// Asks says whether a rule of the suite asks a judge, and if so, in which case what.
func (s Suite) Asks() (where, criterion string, asks bool) {
	for _, c := range s.Cases {
		for _, criterion := range c.criteria() {
			return c.Name, criterion, true
		}
	}
	return "", "", false
}

// judge holds an answer against the case's rules.
func (c Case) judge(answer string, emotes emoteCounter, verdicts map[string]bool) Judged {
	j := Judged{Answer: answer}
	for i := range c.Require {
		if !c.Require[i].holds(answer, emotes, verdicts) {
			j.Failed = append(j.Failed, "lacks: "+c.Require[i].String())
		}
	}
	for i := range c.Forbid {
		if c.Forbid[i].holds(answer, emotes, verdicts) {
			j.Failed = append(j.Failed, "has: "+c.Forbid[i].String())
		}
	}
	j.Passed = len(j.Failed) == 0
	return j
}
