package cell

import (
	"context"
	"sort"
)

type origin struct{}

// WithOrigin says which cell of a notebook it is that runs, by the id that a front-end gives it, whatever its text and number
// are by now.
func WithOrigin(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, origin{}, id)
}

// Graph says which cell uses what which other cell declared.
type Graph struct {
	Cells []string // in the order of their latest run
	Edges []Edge
	Stale map[string]string // by cell: what was declared anew since it ran
}

// Edge says that cell To uses Names of cell From.
type Edge struct {
	From, To string
	Names    []string
}

// graph keeps, for each cell's latest run, what it declared and used.
type graph struct {
	clock int
	from  string // origin of the cell that is being run; empty where nobody says
	runs  map[string]*cellRun
	owner map[string]string // name to the cell that declared it last
	when  map[string]int    // name to the time of its latest declaration
}

type cellRun struct {
	at       int
	from     string // origin
	text     string
	declares map[string]bool
	uses     map[string]string // name to the cell that had declared it
}

func newGraph() *graph {
	return &graph{runs: map[string]*cellRun{}, owner: map[string]string{}, when: map[string]int{}}
}

// ran records a run and returns notes about inputs that are stale themselves. A cell that is run again has another name, and
// is known by its origin, or else by its text: it takes the place of its earlier run.
func (g *graph) ran(cell, text string, vars, decls, uses map[string]bool) []string {
	g.clock++
	for earlier, r := range g.runs {
		again := r.text == text
		if r.from != "" && g.from != "" {
			again = r.from == g.from
		}
		if earlier != cell && again {
			delete(g.runs, earlier)
			g.rename(earlier, cell)
		}
	}
	r := &cellRun{at: g.clock, from: g.from, text: text, declares: map[string]bool{}, uses: map[string]string{}}
	for n := range uses {
		if !vars[n] && !decls[n] && g.owner[n] != "" && g.owner[n] != cell {
			r.uses[n] = g.owner[n]
		}
	}
	for _, set := range []map[string]bool{vars, decls} {
		for n := range set {
			r.declares[n] = true
			g.owner[n] = cell
			g.when[n] = g.clock
		}
	}
	g.runs[cell] = r
	var notes []string
	if len(r.uses) == 0 {
		return nil
	}
	inputs := map[string]bool{}
	for _, from := range r.uses {
		inputs[from] = true
	}
	stale := g.stale()
	for _, from := range sortedKeys(inputs) {
		if why := stale[from]; why != "" {
			notes = append(notes, "this cell uses "+from+", which is stale: "+why)
		}
	}
	return notes
}

// rename makes what others use of a cell that of another one.
func (g *graph) rename(old, now string) {
	for n, owner := range g.owner {
		if owner == old {
			g.owner[n] = now
		}
	}
	for _, r := range g.runs {
		for n, from := range r.uses {
			if from == old {
				r.uses[n] = now
			}
		}
	}
}

// stale says of each cell which of its inputs were declared anew since it ran, directly or through another stale cell.
func (g *graph) stale() map[string]string {
	out := map[string]string{}
	for again := true; again; {
		again = false
		for _, cell := range sortedKeys(g.runs) {
			if out[cell] != "" {
				continue
			}
			r := g.runs[cell]
			for _, n := range sortedKeys(r.uses) {
				switch {
				case g.when[n] > r.at:
					out[cell], again = n+" was declared anew by "+g.owner[n], true
				case out[r.uses[n]] != "" && g.runs[r.uses[n]] != nil:
					out[cell], again = "it uses "+n+" of "+r.uses[n]+", which is stale", true
				default:
					continue
				}
				break
			}
		}
	}
	return out
}

// Deps draws which cell uses what of which other one, and which are stale.
func (e *Evaluator) Deps() Graph {
	e.mu.Lock()
	defer e.mu.Unlock()
	g := Graph{Stale: e.graph.stale()}
	for cell := range e.graph.runs {
		g.Cells = append(g.Cells, cell)
	}
	sort.Slice(g.Cells, func(i, j int) bool { return e.graph.runs[g.Cells[i]].at < e.graph.runs[g.Cells[j]].at })
	for _, to := range g.Cells {
		from := map[string][]string{}
		uses := e.graph.runs[to].uses
		for _, n := range sortedKeys(uses) {
			from[uses[n]] = append(from[uses[n]], n)
		}
		for _, f := range sortedKeys(from) {
			g.Edges = append(g.Edges, Edge{From: f, To: to, Names: from[f]})
		}
	}
	return g
}
