package align

import (
	"math"
)

// textModel is what the corpus itself teaches about who says what when: how often each token and each author belongs to an
// answer, and which words answer which (a translation table from the words of speech to those of chat, IBM model 1, Brown
// et al. 1993, whose prior is that words are copied). All counts are kept per fold, so that a target is judged without
// the counts of its own stretch of the stream.
type textModel struct {
	seen            []float64                 // [fold][token] soft counts of answers with the token
	answer, other   []float64                 // [fold][token] the same beyond chance, and what is left of the targets with the token
	byAuthor        []float64                 // [fold][author][answer, other]
	byHabit         [folds][habits][2]float64 // the same by how much the author writes
	total           [folds][2]float64
	said            []float64 // [fold][token] soft counts of tokens of answers, by the word that caused them
	pairs           *pairTable
	tokens, authors int
	sum             []float64 // [token][answer, other, seen] over all folds
	saidSum         []float64 // [token]
	words           float64   // all soft counts of answers' tokens
	foldWords       [folds]float64
}

// Shrinkage of the counts, in soft counts of messages.
const (
	tokenShrink  = 2.0
	fewTokens    = 2.0 // added to it in corpora of up to fewMessages, where EM's counts are mostly its own guesses
	authorShrink = 4.0
	habitShrink  = 8.0
	pairShrink   = 1.0
	copyPrior    = 0.15 // prior share of a word's answers that repeat it
	nullWord     = 0.5  // share of an answer's words that come from no word of the speech
	textTemper   = 1.0  // trust in what texts alone say
)

// pairTable counts pairs of tokens per fold, in an open-addressing hash table.
type pairTable struct {
	keys   []uint64 // 0 is empty
	counts []float32
	total  []float32 // over all folds, once summed up
	n      int
}

func newPairTable() *pairTable {
	const size = 1 << 12
	return &pairTable{keys: make([]uint64, size), counts: make([]float32, size*folds)}
}

func pairKey(w, v int32) uint64 { return uint64(w+1)<<32 | uint64(v+1) }

func (t *pairTable) slot(key uint64) int {
	mask := len(t.keys) - 1
	h := key * 0x9e3779b97f4a7c15
	i := int(h>>20) & mask
	for t.keys[i] != 0 && t.keys[i] != key {
		i = (i + 1) & mask
	}
	return i
}

func (t *pairTable) add(w, v int32, fold uint8, x float64) {
	key := pairKey(w, v)
	i := t.slot(key)
	if t.keys[i] == 0 {
		if t.n*2 >= len(t.keys) {
			t.grow()
			i = t.slot(key)
		}
		t.keys[i] = key
		t.n++
	}
	t.counts[i*folds+int(fold)] += float32(x)
}

func (t *pairTable) grow() {
	old := *t
	t.keys, t.counts = make([]uint64, 2*len(old.keys)), make([]float32, 2*len(old.counts))
	for i, k := range old.keys {
		if k != 0 {
			j := t.slot(k)
			t.keys[j] = k
			copy(t.counts[j*folds:(j+1)*folds], old.counts[i*folds:(i+1)*folds])
		}
	}
}

// without gives the count of a pair in all folds but one.
func (t *pairTable) without(w, v int32, fold uint8) float64 {
	i := t.slot(pairKey(w, v))
	if t.keys[i] == 0 {
		return 0
	}
	return math.Max(0, float64(t.total[i]-t.counts[i*folds+int(fold)]))
}

// sum adds up the folds, after the last add.
func (t *pairTable) sum() {
	t.total = make([]float32, len(t.keys))
	for i := range t.total {
		for _, x := range t.counts[i*folds : (i+1)*folds] {
			t.total[i] += x
		}
	}
}

func newTextModel(c *corpus) *textModel {
	n := len(c.vocab)
	x := &textModel{
		answer: make([]float64, folds*n), other: make([]float64, folds*n), said: make([]float64, folds*n),
		byAuthor: make([]float64, folds*c.authors*2), pairs: newPairTable(), tokens: n, authors: c.authors,
		seen: make([]float64, folds*n), sum: make([]float64, 3*n), saidSum: make([]float64, n),
	}
	x.pairs.sum()
	return x
}

// learn adds one scored target. old is the model that scored it, which says which word caused which. chance is the
// probability of being an answer that the same target gets beside shifted speech: what it gets beyond that is evidence,
// so that texts cannot talk themselves into being answers. yes + no is the part of the target that is open to evidence.
func (x *textModel) learn(c *corpus, old *textModel, tr *track, t *target, s *scored, chance float64) {
	f := int(t.fold)
	weight := 1 / (1 + 0.5*float64(t.same))
	yes, no := weight*(s.reply-chance), weight*(1-s.reply)
	x.total[f][0] += yes
	x.total[f][1] += no
	if t.author >= 0 {
		a := (f*x.authors + int(t.author)) * 2
		x.byAuthor[a] += yes
		x.byAuthor[a+1] += no
		h := &x.byHabit[f][c.habit[t.author]]
		h[0] += yes
		h[1] += no
	}
	ids := tr.targetIDs(t)
	count := func(id int32) {
		x.answer[f*x.tokens+int(id)] += yes
		x.other[f*x.tokens+int(id)] += no
		x.seen[f*x.tokens+int(id)] += weight * s.reply
	}
	for _, w := range ids {
		count(w)
	}
	if t.whole >= 0 {
		count(t.whole)
	}
	x.foldWords[f] += weight * s.reply * float64(len(ids))
	for i := range s.cand {
		cand := &s.cand[i]
		r := weight * cand.r
		if r < 0.02 {
			continue
		}
		src := &tr.src[cand.src]
		for _, w := range ids {
			x.cause(c, old, tr, src, w, t.fold, r)
		}
		if t.whole >= 0 && len(ids) > 1 && c.df[targets][t.whole] > 1 {
			x.cause(c, old, tr, src, t.whole, t.fold, r)
		}
	}
}

// cause shares one word of an answer among the words of the source, by how well each explains it.
func (x *textModel) cause(c *corpus, old *textModel, tr *track, src *source, w int32, fold uint8, r float64) {
	if c.df[targets][w] < 2 && c.df[sources][w] == 0 {
		return // seen once: nothing to learn for others
	}
	var share [maxTokens]float64
	ids := tr.sourceIDs(src)
	pw := old.frequency(c, w, fold)
	sum := nullWord * pw
	for k, v := range ids {
		share[k] = (1 - nullWord) * c.rarity[v] / src.rarity * old.translate(w, v, pw, fold)
		sum += share[k]
	}
	for k, v := range ids {
		if d := r * share[k] / sum; d > 1e-3 {
			x.pairs.add(w, v, fold, d)
			x.said[int(fold)*x.tokens+int(v)] += d
		}
	}
}

// finish sums the folds up once all targets are learned.
func (x *textModel) finish() {
	x.pairs.sum()
	x.words = 0
	for f := range folds {
		for id := range x.tokens {
			x.sum[3*id] += x.answer[f*x.tokens+id]
			x.sum[3*id+1] += x.other[f*x.tokens+id]
			x.sum[3*id+2] += x.seen[f*x.tokens+id]
			x.saidSum[id] += x.said[f*x.tokens+id]
		}
		x.words += x.foldWords[f]
	}
}

// frequency is the share of a token among the words of all answers, whatever they answer.
func (x *textModel) frequency(c *corpus, w int32, fold uint8) float64 {
	n := x.sum[3*w+2] - x.seen[int(fold)*x.tokens+int(w)]
	all := x.words - x.foldWords[fold]
	// a word not seen among answers is as frequent as it is in all of chat, times a half
	base := (c.df[targets][w] + 1) / (c.docs[targets]*2.5 + 20)
	return (n + 4*base) / (all + 4)
}

// translate is the probability that a word of an answer caused by v is w. pw is the frequency of w.
func (x *textModel) translate(w, v int32, pw float64, fold uint8) float64 {
	n := x.saidSum[v] - x.said[int(fold)*x.tokens+int(v)]
	p := (1 - copyPrior) * pw
	if w == v {
		p += copyPrior
	}
	k := x.pairs.without(w, v, fold)
	return (k + pairShrink*p) / (n + pairShrink)
}

// association is the log ratio of the target's words in answers to this source over answers to any.
func (x *textModel) association(c *corpus, tr *track, t *target, from *track, s *source) float64 {
	ids := from.sourceIDs(s)
	if len(ids) == 0 {
		return 0
	}
	product, k := 1.0, 0
	one := func(w int32) {
		pw := x.frequency(c, w, t.fold)
		p := 0.0
		for _, v := range ids {
			p += c.rarity[v] * x.translate(w, v, pw, t.fold)
		}
		product *= nullWord + (1-nullWord)*p/(s.rarity*pw)
		k++
	}
	for _, w := range tr.targetIDs(t) {
		one(w)
	}
	if t.whole >= 0 && t.hi-t.lo > 1 && c.df[targets][t.whole] > 1 {
		one(t.whole)
	}
	return math.Max(-3, math.Min(8, math.Log(product)*dependence(k)))
}

// dependence is how much n words of one message tell, each, of what they would if they were independent: as if
// their number were its root.
func dependence(n int) float64 { return 1 / math.Sqrt(float64(max(n, 1))) }

// odds is the log odds that message and author alone give for being an answer, above the average message.
func (x *textModel) odds(c *corpus, tr *track, t *target) float64 {
	switch t.class {
	case chatReply, command, serviceBot, pasta:
		return -6
	case linkPost:
		return -5
	}
	f := int(t.fold)
	var yes, no float64
	for g := range folds {
		if g != f {
			yes += x.total[g][0]
			no += x.total[g][1]
		}
	}
	rho := math.Max(0.02, math.Min(0.98, (yes+1)/(yes+no+2)))
	base := math.Log(rho / (1 - rho))
	ratio := func(yes, no, shrink, prior float64) float64 {
		p := (yes + shrink*prior) / (yes + no + shrink)
		p = math.Max(0.005, math.Min(0.995, p))
		return math.Log(p/(1-p)) - base
	}
	sum := 0.0
	if c.opt.has("text") {
		shrink := tokenShrink + fewTokens*math.Min(1, fewMessages/math.Max(1, c.docs[targets]))
		k := 0
		one := func(id int32) {
			y := x.sum[3*id] - x.answer[f*x.tokens+int(id)]
			n := x.sum[3*id+1] - x.other[f*x.tokens+int(id)]
			sum += ratio(y, n, shrink, rho)
			k++
		}
		for _, id := range tr.targetIDs(t) {
			one(id)
		}
		if t.whole >= 0 {
			one(t.whole)
		}
		sum *= textTemper * dependence(k)
		sum = math.Max(-4, math.Min(4, sum))
	}
	if t.author >= 0 && c.opt.has("author") {
		// an author not seen often is judged as others who write as much
		var y, n, like, unlike float64
		for g := range folds {
			if g != f {
				h := &x.byHabit[g][c.habit[t.author]]
				like += h[0]
				unlike += h[1]
				a := (g*x.authors + int(t.author)) * 2
				y += x.byAuthor[a]
				n += x.byAuthor[a+1]
			}
		}
		sum += math.Max(-3, math.Min(3, ratio(y, n, authorShrink, (like+habitShrink*rho)/(like+unlike+habitShrink))))
	}
	return sum
}

// address says whether the speech names the author.
func (x *textModel) address(c *corpus, t *target, from *track, s *source) float64 {
	for _, n := range c.authorNames[t.author] {
		for _, id := range from.sourceIDs(s) {
			if id == n {
				return 1
			}
		}
	}
	return 0
}
