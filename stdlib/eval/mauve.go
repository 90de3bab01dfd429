package eval

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"banter/stdlib/lm/transformer"
)

// mauve compares what the models say with what was really said as wholes: MAUVE (Pillutla et al., arXiv:2102.01454) on the
// base model's own embeddings. Texts are points on a sphere, the output of the last layer after their last token;
// k-means cuts the sphere into cells, and the score is the area under the frontier of the two Kullback–Leibler
// divergences of the cells' shares from their mixtures: 1 for two sets that are alike, near 0 for two that are apart.
// Shares are smoothed as Krichevsky and Trofimov do (Pillutla et al., arXiv:2212.14578). Unlike the authors' program it
// reduces no dimensions first: with some hundred texts there is nothing to gain.
//
// The cells are found once, on all texts together, so that base and tuned are compared on the same ones; the bootstrap
// resamples prompts.
func (e *evaluation) mauve(ctx context.Context, r *Report, asked []answered) error {
	type point struct{ prompt, set int } // set: 0 real, 1 base, 2 tuned
	var points []point
	var texts []string
	for i, a := range asked {
		for _, t := range a.truths {
			points, texts = append(points, point{i, 0}), append(texts, t)
		}
		for k, t := range a.made {
			points, texts = append(points, point{i, k + 1}), append(texts, t)
		}
	}
	vectors := make([][]float64, len(texts))
	err := e.once(ctx, len(texts), "embeddings", func(ctx context.Context, i int) (err error) {
		vectors[i], err = embed(ctx, e.sides[0], texts[i]) // one model embeds for both
		return err
	})
	if err != nil {
		return err
	}
	k := min(cellsAtMost, max(2, len(asked)/10))
	r.Style.MauveCells = k
	cells := kMeans(vectors, k, randomFor(e.Seed, "mauve"))
	r.Style.Mauve = bootstrap(len(asked), e.Seed, e.Resamples, func(weights []int) (float64, float64) {
		var shares [3][]float64
		for set := range shares {
			shares[set] = make([]float64, k)
		}
		for i, p := range points {
			shares[p.set][cells[i]] += float64(weights[p.prompt])
		}
		for _, s := range shares {
			smooth(s)
		}
		return frontierArea(shares[0], shares[1]), frontierArea(shares[0], shares[2])
	}, difference)
	return nil
}

// cellsAtMost bounds the number of cells; the paper's own default.
const cellsAtMost = 500

// embed is a text as a point on the unit sphere.
func embed(ctx context.Context, s side, text string) ([]float64, error) {
	ids, err := s.Format().Tokenizer().Encode(text, true)
	if err != nil {
		return nil, fmt.Errorf("embed %q: %w", text, err)
	}
	width := s.Model().Config().Hidden
	v := make([]float64, width)
	ids = ids[:min(len(ids), s.Model().Config().MaxPositions)]
	if len(ids) == 0 {
		return v, nil // an empty text has a cell of its own
	}
	tokens := make([]int32, len(ids))
	for i, id := range ids {
		tokens[i] = int32(id)
	}
	hidden, err := s.Model().Hidden(ctx, transformer.Sequences(tokens), []int{len(tokens) - 1})
	if err != nil {
		return nil, fmt.Errorf("embed %q: %w", text, err)
	}
	var square float64
	for i, x := range hidden {
		v[i] = float64(x)
		square += v[i] * v[i]
	}
	if square > 0 {
		for i := range v {
			v[i] /= math.Sqrt(square)
		}
	}
	return v, nil
}

// smooth turns counts into shares, with half a count more in each cell.
func smooth(counts []float64) {
	var sum float64
	for _, c := range counts {
		sum += c + 0.5
	}
	for i := range counts {
		counts[i] = (counts[i] + 0.5) / sum
	}
}

// The frontier's scale and number of mixtures, as the authors of MAUVE have them.
const (
	frontierScale    = 5
	frontierMixtures = 25
)

// frontierArea is the area under the divergence frontier of two distributions without zeros.
func frontierArea(p, q []float64) float64 {
	x, y := []float64{0}, []float64{1} // exp(-c·KL(q|r)), exp(-c·KL(p|r))
	for i := range frontierMixtures {
		w := 1e-6 + (1-2e-6)*float64(i)/(frontierMixtures-1)
		var toQ, toP float64
		for j := range p {
			r := w*p[j] + (1-w)*q[j]
			toQ += q[j] * math.Log(q[j]/r)
			toP += p[j] * math.Log(p[j]/r)
		}
		x, y = append(x, math.Exp(-frontierScale*toQ)), append(y, math.Exp(-frontierScale*toP))
	}
	x, y = append(x, 1), append(y, 0)
	return (area(x, y) + area(y, x)) / 2
}

// area is that under the points by the trapezoidal rule, in order of x.
func area(x, y []float64) float64 {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(x[a], x[b]) })
	var sum float64
	for n := range order[1:] {
		a, b := order[n], order[n+1]
		sum += (x[b] - x[a]) * (y[a] + y[b]) / 2
	}
	return sum
}

// kMeans cuts points into k cells (Lloyd 1982) from a start by k-means++ (Arthur and Vassilvitskii 2007), the best of
// five starts, and returns each point's cell.
func kMeans(points [][]float64, k int, random *rand.Rand) []int {
	var best []int
	least := math.Inf(1)
	for range 5 {
		cells, spread := kMeansOnce(points, k, random)
		if spread < least {
			best, least = cells, spread
		}
	}
	return best
}

func kMeansOnce(points [][]float64, k int, random *rand.Rand) (cells []int, spread float64) {
	distance := func(a, b []float64) (d float64) {
		for i := range a {
			d += (a[i] - b[i]) * (a[i] - b[i])
		}
		return d
	}
	centres := [][]float64{slices.Clone(points[random.IntN(len(points))])}
	nearest := make([]float64, len(points))
	for len(centres) < k {
		var sum float64
		for i, p := range points {
			nearest[i] = math.Inf(1)
			for _, c := range centres {
				nearest[i] = min(nearest[i], distance(p, c))
			}
			sum += nearest[i]
		}
		pick, at := len(points)-1, random.Float64()*sum
		for i, d := range nearest {
			if at -= d; at < 0 {
				pick = i
				break
			}
		}
		centres = append(centres, slices.Clone(points[pick]))
	}
	cells = make([]int, len(points))
	for round := range 100 {
		moved := false
		spread = 0
		for i, p := range points {
			at, least := 0, math.Inf(1)
			for c := range centres {
				if d := distance(p, centres[c]); d < least {
					at, least = c, d
				}
			}
			moved = moved || cells[i] != at
			cells[i] = at
			spread += least
		}
		if !moved && round > 0 {
			break
		}
		count := make([]float64, k)
		sums := make([][]float64, k)
		for c := range sums {
			sums[c] = make([]float64, len(points[0]))
		}
		for i, p := range points {
			count[cells[i]]++
			for j, v := range p {
				sums[cells[i]][j] += v
			}
		}
		for c := range centres {
			if count[c] == 0 {
				continue // an empty cell stays where it is
			}
			for j := range sums[c] {
				centres[c][j] = sums[c][j] / count[c]
			}
		}
	}
	return cells, spread
}
