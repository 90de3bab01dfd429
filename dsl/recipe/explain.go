package recipe

import (
	"context"

	"banter/dsl"
	"banter/dsl/memo"
)

// Explained are the steps of a recipe, as far as their keys can be known without running it.
type Explained struct {
	Steps []memo.Explanation `json:"steps"`
	Then  []string           `json:"then"` // verbs of the recipe behind the first result that is not there
}

// Explain looks up the steps of the recipe in file without running any, and says of each that is not in the store what
// differs from the nearest that is.
func Explain(ctx context.Context, file string, interpret Interpreter, o Options) (*Explained, error) {
	src, err := read(file)
	if err != nil {
		return nil, &dsl.UsageError{Err: err}
	}
	session, err := dsl.Open(dsl.Config{Store: o.Store, Shared: o.Shared, Out: o.Out, Jobs: o.Jobs, Params: o.Params, DryRun: true})
	if err != nil {
		return nil, err
	}
	defer session.Close()
	ended := session.Run(ctx, func() error { return interpret(ctx, file, src) })
	if ended != nil && !dsl.NotMade(ended) {
		return nil, ended
	}
	p, err := planOf(session, file, src, ended != nil)
	if err != nil {
		return nil, err
	}
	e := &Explained{Steps: []memo.Explanation{}, Then: p.Then}
	steps := map[memo.Key]memo.Step{}
	for _, r := range session.Ran() {
		steps[r.Key] = r.Step
	}
	for _, s := range p.Steps { // in the order of a plan
		x, err := session.Store().Explain(steps[s.Key])
		if err != nil {
			return nil, err
		}
		if s.State == "shared" {
			x.Shared, x.Nearest, x.Changed = true, "", nil
		}
		e.Steps = append(e.Steps, x)
	}
	return e, nil
}
