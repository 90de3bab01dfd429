package transformer

import "banter/stdlib/lm"

// saved is what one layer's forward pass leaves for its way back. N is the number of tokens.
type saved struct {
	in, middle         []float32              // [N, hidden] the residual stream before attention and before the MLP
	inRoot, middleRoot []float32              // [N] inverse roots of their norms
	q, k, v            []float32              // [N, heads·head], [N, key heads·head] ×2, turned by position
	rawQ, rawK         []float32              // as q and k before their norms; nil without QKNorm
	rootQ, rootK       []float32              // [N, heads], [N, key heads]
	attended           []float32              // [N, heads·head]
	logSums            []float32              // [N, heads]
	gate, up           []float32              // [N, intermediate]
	low                [projections][]float32 // [N, rank] scale·x·Aᵀ, for the adapted projections
}

// buffers is the memory of one pass over at most `tokens` tokens in sequences of at most `longest`.
type buffers struct {
	tokens, longest int
	rows            int          // of logits that exist at a time
	layers          []saved      // one for each layer, or one for all
	stream          []float32    // [N, hidden] the residual stream that leaves the last layer
	wide            []float32    // [N, intermediate]
	narrow          []float32    // [N, hidden]
	scores          [][]float32  // for each worker, [queryBlock, longest], twice as much for training
	grad            []float32    // [N, hidden]; training only
	gradOut         []float32    // [N, heads·head]; training only
	gradQ           []float32    // [N, heads·head]; training only
	gradK, gradV    []float32    // [N, heads·head]; training only
	gradKV          [2][]float32 // [N, key heads·head]; training only
	logits          []float32    // [rows, vocabulary]
	picked          []float32    // [rows, hidden]
	pickedGrad      []float32    // [rows, hidden]; training only
}

// kind is what a pass is for.
type kind int

const (
	inference  kind = iota
	training        // keeps all that the way back needs
	recomputed      // keeps each layer's input and computes the layer again on the way back
)

// logitBytes bounds the memory of the logits that exist at a time.
const logitBytes = 64 << 20

// lossRows returns how many rows of logits are computed at a time at most.
func lossRows(c lm.Config) int { return min(512, max(16, logitBytes/4/c.Vocab)) }

// lay allocates the buffers of a pass over so many tokens, of which so many are learned. With a nil make it only counts,
// in numbers of float32.
func lay(c lm.Config, k kind, tokens, longest, learned, rank, workers int, mk func(n int) []float32) (*buffers, int64) {
	count := int64(0)
	take := func(n int) []float32 {
		count += int64(n)
		if mk == nil {
			return nil
		}
		return mk(n)
	}
	b := &buffers{tokens: tokens, longest: longest, rows: min(lossRows(c), max(learned, 1))}
	queries, keys := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	sets := 1
	if k != inference {
		sets = c.Layers
	}
	var shared saved
	rest := func(s *saved) {
		s.middle, s.inRoot, s.middleRoot = take(tokens*c.Hidden), take(tokens), take(tokens)
		s.q, s.k, s.v = take(tokens*queries), take(tokens*keys), take(tokens*keys)
		if c.QKNorm {
			s.rawQ, s.rawK = take(tokens*queries), take(tokens*keys)
			s.rootQ, s.rootK = take(tokens*c.Heads), take(tokens*c.KVHeads)
		}
		s.attended = take(tokens * queries)
		s.gate, s.up = take(tokens*c.Intermediate), take(tokens*c.Intermediate)
		if k != inference {
			s.logSums = take(tokens * c.Heads)
		}
		for p := range s.low {
			s.low[p] = take(tokens * rank)
		}
	}
	if k != training {
		rest(&shared)
	}
	for range sets {
		s := shared
		s.in = take(tokens * c.Hidden)
		if k == training {
			rest(&s)
		}
		b.layers = append(b.layers, s)
	}
	b.stream, b.narrow, b.wide = take(tokens*c.Hidden), take(tokens*max(c.Hidden, queries)), take(tokens*c.Intermediate)
	score := queryBlock * longest
	if k != inference {
		score *= 2
		b.grad, b.gradOut, b.gradQ = take(tokens*c.Hidden), take(tokens*queries), take(tokens*queries)
		b.gradK, b.gradV = take(tokens*queries), take(tokens*queries)
		b.gradKV = [2][]float32{take(tokens * keys), take(tokens * keys)}
		b.pickedGrad = take(b.rows * c.Hidden)
	}
	for range workers {
		b.scores = append(b.scores, take(score))
	}
	b.logits, b.picked = take(b.rows*c.Vocab), take(b.rows*c.Hidden)
	return b, count
}

// borrow returns buffers for a forward pass.
func (m *Model) borrow(b Batch) *buffers {
	rank := 0
	if m.lora != nil {
		rank = m.lora.rank
	}
	tokens, longest := len(b.Tokens), (b.longest()+255)/256*256 // a decoder's grows token by token
	select {
	case old := <-m.free:
		if old.tokens >= tokens && old.longest >= longest && len(old.layers[0].low[0]) >= tokens*rank {
			return old
		}
		tokens, longest = max(tokens, old.tokens), max(longest, old.longest)
	default:
	}
	made, _ := lay(m.config, inference, tokens, longest, tokens, rank, m.engine.Workers(), func(n int) []float32 { return make([]float32, n) })
	return made
}

func (m *Model) giveBack(b *buffers) {
	select {
	case m.free <- b:
	default:
	}
}
