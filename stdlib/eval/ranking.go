package eval

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// promptGroup is a prompt with all the responses that it really got.
type promptGroup struct {
	stream, prompt string
	truths         []string        // distinct, in the examples' order
	delays         []time.Duration // of the truths; 0 where not known
}

func groupPrompts(examples []Example) []promptGroup {
	var groups []promptGroup
	index := map[[2]string]int{}
	for _, x := range examples {
		key := [2]string{x.Stream, x.Prompt}
		i, ok := index[key]
		if !ok {
			i = len(groups)
			index[key] = i
			groups = append(groups, promptGroup{stream: x.Stream, prompt: x.Prompt})
		}
		if !slices.ContainsFunc(groups[i].truths, func(t string) bool { return normal(t) == normal(x.Response) }) {
			groups[i].truths, groups[i].delays = append(groups[i].truths, x.Response), append(groups[i].delays, x.Delay)
		}
	}
	return groups
}

// normal is a response's form for the question whether two are the same.
func normal(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), " ")) }

// randomFor returns a source that depends on the seed and on what it is for, not on what was drawn before.
func randomFor(seed uint64, parts ...string) *rand.Rand {
	h := fnv.New64a()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// draw picks at most n groups and keeps their order.
func draw(groups []promptGroup, n int, seed uint64, purpose string) []promptGroup {
	if len(groups) <= n {
		return groups
	}
	picked := randomFor(seed, purpose).Perm(len(groups))[:n]
	slices.Sort(picked)
	out := make([]promptGroup, n)
	for i, p := range picked {
		out[i] = groups[p]
	}
	return out
}

// How many candidates of each kind the LiveBot protocol takes (Ma et al., AAAI 2019); random ones make up the rest.
const (
	popularCandidates = 20
	similarCandidates = 20
)

// pool holds the distinct responses that may be offered as false candidates.
type pool struct {
	texts   []string // the most frequent first, equals by text
	normals []string
	vectors []map[string]float64 // tf-idf, of length 1
	idf     map[string]float64
}

func newPool(training, holdout []Example) *pool {
	count, spelling := map[string]int{}, map[string]string{}
	for _, x := range slices.Concat(training, holdout) {
		n := normal(x.Response)
		if old, ok := spelling[n]; !ok || x.Response < old {
			spelling[n] = x.Response
		}
	}
	from := training
	if len(from) == 0 {
		from = holdout
	}
	for _, x := range from {
		count[normal(x.Response)]++
	}
	p := &pool{idf: map[string]float64{}}
	for n := range spelling {
		p.normals = append(p.normals, n)
	}
	slices.SortFunc(p.normals, func(a, b string) int { return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b)) })
	documents := map[string]int{}
	for _, n := range p.normals {
		p.texts = append(p.texts, spelling[n])
		seen := map[string]bool{}
		for _, w := range words(n) {
			if !seen[w] {
				seen[w] = true
				documents[w]++
			}
		}
	}
	for w, d := range documents {
		p.idf[w] = math.Log(float64(1+len(p.normals)) / float64(1+d))
	}
	for _, n := range p.normals {
		p.vectors = append(p.vectors, p.vector(n))
	}
	return p
}

func (p *pool) vector(text string) map[string]float64 {
	v := map[string]float64{}
	for _, w := range words(strings.ToLower(text)) {
		if idf, ok := p.idf[w]; ok {
			v[w] += idf
		}
	}
	var square float64
	for _, w := range sortedKeys(v) {
		square += v[w] * v[w]
	}
	if square > 0 {
		for w := range v {
			v[w] /= math.Sqrt(square)
		}
	}
	return v
}

// candidates returns the responses to rank for a prompt: its truths first, then popular, similar and random false ones.
func (p *pool) candidates(g promptGroup, n int, seed uint64) []string {
	taken := map[string]bool{}
	list := slices.Clone(g.truths)
	for _, t := range g.truths {
		taken[normal(t)] = true
	}
	take := func(i int) {
		if len(list) < n && !taken[p.normals[i]] {
			taken[p.normals[i]] = true
			list = append(list, p.texts[i])
		}
	}
	for i, before := 0, len(list); i < len(p.texts) && len(list) < before+popularCandidates; i++ {
		take(i)
		if len(list) == n {
			return list
		}
	}
	type similar struct {
		i     int
		score float64
	}
	var near []similar
	prompt := p.vector(g.prompt)
	keys := sortedKeys(prompt)
	for i := range p.texts {
		var dot float64
		for _, w := range keys {
			dot += prompt[w] * p.vectors[i][w]
		}
		if dot > 0 && !taken[p.normals[i]] {
			near = append(near, similar{i, dot})
		}
	}
	slices.SortFunc(near, func(a, b similar) int { return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.i, b.i)) })
	for _, s := range near[:min(len(near), similarCandidates)] {
		take(s.i)
	}
	for _, i := range randomFor(seed, "candidates", g.stream, g.prompt).Perm(len(p.texts)) {
		take(i)
	}
	return list
}

func sortedKeys(m map[string]float64) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// ranking has both models order the candidates of each prompt by mean log-probability of a token. Each truth's rank is
// among itself and the false candidates; of equals, half count as better.
func (e *evaluation) ranking(ctx context.Context, r *Report, prompts []promptGroup) error {
	p := newPool(e.training, e.holdout)
	lists := make([][]string, len(prompts))
	least, sum := math.MaxInt, 0
	for i, g := range prompts {
		lists[i] = p.candidates(g, max(e.Candidates, len(g.truths)+1), e.Seed)
		least = min(least, len(lists[i]))
		sum += len(lists[i])
	}
	ranks := [2][][]float64{make([][]float64, len(prompts)), make([][]float64, len(prompts))}
	var mu sync.Mutex
	failed := map[int]string{}
	err := e.each(ctx, len(prompts), "ranking", func(ctx context.Context, s side, which, i int) error {
		scores, err := s.Score(ctx, prompts[i].prompt, lists[i]...)
		if err != nil { // a candidate may be too long where the truths are not
			if ctx.Err() != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			failed[i] = err.Error()
			return nil
		}
		truths := len(prompts[i].truths)
		for t := range truths {
			rank := 1.0
			for _, other := range scores[truths:] {
				switch a, b := other.Mean(), scores[t].Mean(); {
				case a > b:
					rank++
				case a == b:
					rank += 0.5
				}
			}
			ranks[which][i] = append(ranks[which][i], rank)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, g := range prompts {
		if reason, bad := failed[i]; bad {
			ranks[0][i], ranks[1][i] = nil, nil
			r.Skipped = append(r.Skipped, Skipped{fmt.Sprintf("ranking of %q", g.prompt), reason})
		}
	}
	// Truths of one prompt are not independent: prompts are resampled, not truths.
	measure := func(of func(rank float64) float64) Compared {
		return bootstrap(len(prompts), e.Seed, e.Resamples, func(weights []int) (float64, float64) {
			var sum [2]float64
			n := 0.0
			for i, w := range weights {
				for k := range sum {
					for _, rank := range ranks[k][i] {
						sum[k] += float64(w) * of(rank)
					}
				}
				n += float64(w * len(ranks[0][i]))
			}
			if n == 0 {
				return 0, 0
			}
			return sum[0] / n, sum[1] / n
		}, difference)
	}
	within := func(k float64) func(float64) float64 {
		return func(rank float64) float64 {
			if rank <= k {
				return 1
			}
			return 0
		}
	}
	r.Ranking = Ranking{
		Prompts: len(prompts), Wanted: e.Candidates, FewestCandidates: least, MeanCandidates: float64(sum) / float64(len(prompts)),
		RecallAt1: measure(within(1)), RecallAt5: measure(within(5)), RecallAt10: measure(within(10)),
		MeanRank: measure(func(rank float64) float64 { return rank }), MRR: measure(func(rank float64) float64 { return 1 / rank }),
	}
	for i := range prompts {
		r.Ranking.Truths += len(ranks[0][i])
	}
	return nil
}
