package recipe

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"slices"
	"text/tabwriter"

	"banter/dsl"
	"banter/dsl/memo"
	"banter/stdlib/train"
)

// plan is what a dry run found: the steps whose keys can be known, and the verbs that follow the first result that is not
// there.
type plan struct {
	Kind  string        `json:"event"` // "plan"
	Steps []plannedStep `json:"steps"`
	Then  []string      `json:"then"` // verbs of the recipe, in its order

	Trainings []dsl.Training `json:"trainings,omitempty"` // that the run came to
}

type plannedStep struct {
	Verb  string   `json:"step"`
	Label string   `json:"label,omitempty"`
	Key   memo.Key `json:"key"`
	State string   `json:"state"` // "hit", "shared" or "will run"
}

// planOf tells what a dry run saw. cut is whether it ended before its recipe.
func planOf(s *dsl.Session, file string, src []byte, cut bool) (plan, error) {
	p := plan{Kind: "plan", Steps: []plannedStep{}, Then: []string{}, Trainings: s.Trainings()}
	calls := map[string]int{} // steps of each verb up to the first that misses
	missed, last := "", ""
	for _, r := range s.Ran() {
		state := "hit"
		last = r.Step.Verb
		if r.Err != nil {
			state = "will run"
			if !dsl.NotMade(r.Err) {
				return p, r.Err
			}
			missed = r.Step.Verb
		} else if r.Shared {
			state = "shared"
		}
		calls[r.Step.Verb]++
		p.Steps = append(p.Steps, plannedStep{r.Step.Verb, r.Step.Label, r.Key, state})
	}
	slices.SortStableFunc(p.Steps, func(a, b plannedStep) int { // a verb's streams are looked at side by side
		if a.Verb != b.Verb || a.Verb != "load" && a.Verb != "transcribe" {
			return 0
		}
		switch {
		case a.Label < b.Label:
			return -1
		case a.Label > b.Label:
			return 1
		}
		return 0
	})
	if cut && missed == "" { // what follows reads bytes that only the shared store has
		missed = last
	}
	if missed != "" {
		then, err := follow(file, src, missed, calls[missed])
		if err != nil {
			return p, err
		}
		p.Then = then
	}
	return p, nil
}

// callOf names the calls that do a verb's steps.
var callOf = map[string][]string{"load": {"Load"}, "transcribe": {"Transcribe", "Words"}, "align": {"Align"}, "filter": {"Filter"}, "recalibrate": {"Recalibrate"}, "dataset": {"Dataset"},
	"plan": {"Train"}, "base": {"Train"}, "train": {"Train"}, "eval": {"Eval"}, "sample": {"Sample"}, "score": {"Score"}}

// follow lists the verbs in a recipe's source behind the call that did the n-th step of a verb. It is what the text says:
// a loop's verbs are listed once.
func follow(file string, src []byte, verb string, n int) ([]string, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	known := []string{"Load", "Transcribe", "Words", "Align", "Filter", "Recalibrate", "Dataset", "Train", "Eval", "Sample", "Score", "Export", "ExportSubtitles", "Report", "Gate"}
	type call struct {
		name string
		end  token.Pos
	}
	var calls []call
	ast.Inspect(f, func(node ast.Node) bool {
		if c, ok := node.(*ast.CallExpr); ok {
			if name := verbOf(c); slices.Contains(known, name) {
				calls = append(calls, call{name, c.End()})
			}
		}
		return true
	})
	slices.SortStableFunc(calls, func(a, b call) int { return int(a.end - b.end) }) // arguments come before the call that they are given to
	if verb == "load" || verb == "transcribe" {
		n = 1 // one call does many steps
	}
	at := 0
	for i, c := range calls {
		if slices.Contains(callOf[verb], c.name) {
			if at = i + 1; n == 1 {
				break
			}
			n--
		}
	}
	then := []string{}
	for _, c := range calls[at:] {
		then = append(then, c.name)
	}
	return then, nil
}

func (p plan) write(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(p)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	hits, shared := 0, 0
	for _, s := range p.Steps {
		state := s.State
		switch state {
		case "hit":
			hits++
		case "shared":
			shared++
			state = "in the shared store"
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", s.Verb, s.Label, state, s.Key.Short())
	}
	for _, name := range p.Then {
		fmt.Fprintf(t, "  %s\t\twill follow\t\n", name)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if err := p.writeTrainings(w); err != nil {
		return err
	}
	if hits == len(p.Steps) && len(p.Then) == 0 {
		_, err := fmt.Fprintf(w, "all %d steps are in the store: nothing is left to do but to write the exports\n", hits)
		return err
	}
	fetched := ""
	if shared > 0 {
		fetched = fmt.Sprintf(", %d come from the shared one", shared)
	}
	_, err := fmt.Fprintf(w, "%d of these steps are in the store%s, %d will run; the keys of what follows depend on them\n", hits, fetched, len(p.Steps)-hits-shared)
	return err
}

// writeTrainings says what trainings take, and of those that cannot be foreseen why.
func (p plan) writeTrainings(w io.Writer) error {
	for _, t := range p.Trainings {
		what := "will take"
		if t.Stored {
			what = "is in the store, and took"
		}
		how := "engine " + t.Engine
		if t.Preset != "" {
			how += ", preset " + t.Preset
		}
		if t.Precision != "" {
			how += ", the base held in " + t.Precision
		}
		if _, err := fmt.Fprintf(w, "training of %s (%s) %s: %s\n", t.Base, how, what, t); err != nil {
			return err
		}
		if err := writeTiers(w, t); err != nil {
			return err
		}
	}
	if len(p.Trainings) == 0 && slices.Contains(p.Then, "Train") {
		_, err := fmt.Fprintln(w, "what Train will take is known once the steps before it have run")
		return err
	}
	return nil
}

// writeTiers shows what each preset would take on a training's base.
func writeTiers(w io.Writer, training dsl.Training) error {
	if len(training.Presets) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  preset\trank\ttokens a row\ta batch\tbatches a step\tlayers\tbase held in\tmemory\t")
	for _, p := range training.Presets {
		layers, precision, verdict := "kept", p.Precision, ""
		if p.Recompute {
			layers = "computed again"
		}
		if precision == "" {
			precision = "its own type"
		}
		switch {
		case p.Name == training.Preset:
			verdict = "<- this one"
		case !p.Fits:
			verdict = "does not fit"
		}
		fmt.Fprintf(t, "  %s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", p.Name, p.Rank, p.Length, p.Batch, p.GradAccum, layers, precision, train.Bytes(p.Memory), verdict)
	}
	return t.Flush()
}

// verbOf is the name of the function of package dsl that is called, or empty.
func verbOf(call *ast.CallExpr) string {
	if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
		if id, ok := sel.X.(*ast.Ident); ok && id.Name == "dsl" {
			return sel.Sel.Name
		}
	}
	return ""
}
