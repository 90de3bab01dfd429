package eval

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/generate"
)

// Style describes a set of responses.
type Style struct {
	Responses   int     `json:"responses"`
	Words       float64 `json:"words"`       // mean in a response
	Emotes      float64 `json:"emotes"`      // mean in a response
	Lowercase   float64 `json:"lowercase"`   // share of responses without a capital letter, emotes aside
	Punctuation float64 `json:"punctuation"` // share of responses that end in . ! ? or …
	Distinct1   float64 `json:"distinct_1"`  // different words over all words (Li et al., arXiv:1510.03055)
	Distinct2   float64 `json:"distinct_2"`  // the same of word pairs
	SelfBLEU    float64 `json:"self_bleu"`   // how alike they are (Zhu et al., arXiv:1802.01886), bigrams at most
}

// words cuts text at white space and takes punctuation off the ends, but leaves alone what is all punctuation.
func words(text string) []string {
	var out []string
	for _, w := range strings.Fields(text) {
		if t := strings.TrimFunc(w, func(r rune) bool { return unicode.IsPunct(r) }); t != "" {
			w = t
		}
		out = append(out, w)
	}
	return out
}

// emoteCounter knows emotes.
type emoteCounter map[string]bool

func newEmoteCounter(known []string) emoteCounter {
	c := emoteCounter{}
	for _, w := range known {
		c[w] = true
	}
	return c
}

// is says whether a word is an emote: a known one, one of the shape chefWave, or emoji.
func (c emoteCounter) is(word string) bool {
	if c[word] {
		return true
	}
	lower := false
	for _, r := range word {
		if r >= 0x1F000 || r >= 0x2600 && r < 0x27C0 {
			return true
		}
		if lower && unicode.IsUpper(r) {
			return true
		}
		lower = unicode.IsLower(r)
	}
	return false
}

func (c emoteCounter) count(text string) int {
	n := 0
	for _, w := range words(text) {
		if c.is(w) {
			n++
		}
	}
	return n
}

// describe measures responses.
func describe(responses []string, emotes emoteCounter) Style {
	s := Style{Responses: len(responses)}
	if len(responses) == 0 {
		return s
	}
	n := float64(len(responses))
	for _, r := range responses {
		s.Words += float64(len(words(r))) / n
		s.Emotes += float64(emotes.count(r)) / n
		capital := false
		for _, w := range words(r) {
			capital = capital || !emotes.is(w) && strings.ToLower(w) != w
		}
		if !capital {
			s.Lowercase += 1 / n
		}
		if strings.ContainsAny(lastChar(r), ".!?…") {
			s.Punctuation += 1 / n
		}
	}
	s.Distinct1, s.Distinct2 = distinct(responses, 1), distinct(responses, 2)
	s.SelfBLEU = selfBLEU(responses)
	return s
}

func lastChar(s string) string {
	r := []rune(strings.TrimSpace(s))
	if len(r) == 0 {
		return ""
	}
	return string(r[len(r)-1])
}

func ngrams(text string, n int) []string {
	w := words(strings.ToLower(text))
	var out []string
	for i := 0; i+n <= len(w); i++ {
		out = append(out, strings.Join(w[i:i+n], " "))
	}
	return out
}

func distinct(responses []string, n int) float64 {
	seen, all := map[string]bool{}, 0
	for _, r := range responses {
		for _, g := range ngrams(r, n) {
			seen[g] = true
			all++
		}
	}
	if all == 0 {
		return 0
	}
	return float64(len(seen)) / float64(all)
}

// selfBLEUAtMost bounds the responses that are compared with each other.
const selfBLEUAtMost = 200

// selfBLEU is the mean BLEU (Papineni et al. 2002) of each response against all others, with one- and two-word grams:
// chat is too short for four. A response of one word has no pairs and is judged by its word.
func selfBLEU(responses []string) float64 {
	responses = responses[:min(len(responses), selfBLEUAtMost)]
	if len(responses) < 2 {
		return 0
	}
	counts := make([][2]map[string]int, len(responses))
	lengths := make([]int, len(responses))
	for i, r := range responses {
		lengths[i] = len(ngrams(r, 1))
		for n := range 2 {
			counts[i][n] = map[string]int{}
			for _, g := range ngrams(r, n+1) {
				counts[i][n][g]++
			}
		}
	}
	var sum float64
	for i := range responses {
		if lengths[i] == 0 {
			continue
		}
		logs, orders := 0.0, 0
		for n := range 2 {
			if lengths[i] <= n {
				continue
			}
			hits := 0
			for g, c := range counts[i][n] {
				most := 0
				for j := range responses {
					if j != i {
						most = max(most, counts[j][n][g])
					}
				}
				hits += min(c, most)
			}
			orders++
			logs += math.Log(float64(hits) / float64(lengths[i]-n))
		}
		closest := math.MaxInt // the length nearest to this one's, the shorter of two
		for j, l := range lengths {
			if j != i && (abs(l-lengths[i]) < abs(closest-lengths[i]) || abs(l-lengths[i]) == abs(closest-lengths[i]) && l < closest) {
				closest = l
			}
		}
		brevity := 1.0
		if lengths[i] < closest {
			brevity = math.Exp(1 - float64(closest)/float64(lengths[i]))
		}
		sum += brevity * math.Exp(logs/float64(orders))
	}
	return sum / float64(len(responses))
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}

// The upper edges of the histograms over which divergences are taken; the last bin is open.
var (
	lengthBins = []int{0, 1, 2, 3, 4, 6, 9, 14}
	emoteBins  = []int{0, 1, 2, 3}
)

// bin returns which bin of a histogram a count falls into.
func bin(edges []int, count int) int {
	i, _ := slices.BinarySearch(edges, count)
	return i
}

// jensenShannon is the divergence of two distributions in bits (Lin 1991).
func jensenShannon(p, q []float64) float64 {
	var d float64
	for i := range p {
		m := (p[i] + q[i]) / 2
		for _, x := range []float64{p[i], q[i]} {
			if x > 0 {
				d += x / 2 * math.Log2(x/m)
			}
		}
	}
	return max(0, d)
}

// divergence compares, over prompts, how the real responses and the answers are spread over bins. real gives the
// distribution of each real response to a prompt, made that of an answer.
func (e *evaluation) divergence(asked []answered, bins int, real func(answered) [][]float64, made func(string) []float64) Compared {
	realOf, madeOf := make([][][]float64, len(asked)), make([][2][]float64, len(asked))
	for i, a := range asked {
		realOf[i] = real(a)
		for k := range a.made {
			madeOf[i][k] = made(a.made[k])
		}
	}
	return bootstrap(len(asked), e.Seed, e.Resamples, func(weights []int) (float64, float64) {
		var all [3][]float64 // real, base, tuned
		for k := range all {
			all[k] = make([]float64, bins)
		}
		var reals, prompts float64
		for i, w := range weights {
			if w == 0 {
				continue
			}
			for _, h := range realOf[i] {
				for bin, share := range h {
					all[0][bin] += float64(w) * share
				}
				reals += float64(w)
			}
			for k, h := range madeOf[i] {
				for bin, share := range h {
					all[k+1][bin] += float64(w) * share
				}
			}
			prompts += float64(w)
		}
		for bin := range bins {
			all[0][bin] /= max(1, reals)
			all[1][bin] /= prompts
			all[2][bin] /= prompts
		}
		return jensenShannon(all[0], all[1]), jensenShannon(all[0], all[2])
	}, difference)
}

// kinds compares how texts are spread over kinds.
func (e *evaluation) kinds(asked []answered, n int, kind func(string) int) Compared {
	made := func(s string) []float64 { return one(n, kind(s)) }
	return e.divergence(asked, n, func(a answered) [][]float64 {
		var out [][]float64
		for _, t := range a.truths {
			out = append(out, made(t))
		}
		return out
	}, made)
}

// The kinds of casing.
const (
	noLetters = iota // or emotes alone
	lowerCase
	upperCase    // ALL OF IT, two letters or more
	sentenceCase // A capital first, and none after it but in I
	mixedCase
	casings
)

// casing is a text's kind of casing, emotes aside.
func (c emoteCounter) casing(text string) int {
	capitals, letters := 0, 0
	first := false // the first letter is a capital
	for _, w := range words(text) {
		if c.is(w) {
			continue
		}
		for _, r := range w {
			if !unicode.IsLetter(r) {
				continue
			}
			if unicode.IsUpper(r) {
				if letters == 0 {
					first = true
				}
				if letters == 0 || w != "I" && !strings.HasPrefix(w, "I'") {
					capitals++
				}
			}
			letters++
		}
	}
	switch {
	case letters == 0:
		return noLetters
	case capitals == 0:
		return lowerCase
	case capitals == letters && letters > 1:
		return upperCase
	case first && capitals == 1:
		return sentenceCase
	}
	return mixedCase
}

// The kinds of ending.
const (
	bare = iota // a letter, a digit, an emote
	period
	exclamation
	question
	ellipsis
	repeated // "!!", "?!"
	otherMark
	endings
)

// ending is how a text ends.
func ending(text string) int {
	text = strings.TrimSpace(text)
	tail := text[len(strings.TrimRight(text, ".!?…")):]
	switch {
	case tail == "":
		if r, _ := utf8.DecodeLastRuneInString(text); unicode.IsPunct(r) {
			return otherMark
		}
		return bare
	case tail == ".":
		return period
	case tail == "!":
		return exclamation
	case tail == "?":
		return question
	case strings.Trim(tail, ".…") == "":
		return ellipsis
	}
	return repeated
}

// answered is a prompt with its real responses and both models' answers.
type answered struct {
	promptGroup
	made [2]string
}

// answers has both models answer prompts, and holds the answers against the real responses to the same prompts.
func (e *evaluation) answers(ctx context.Context, r *Report, prompts []promptGroup) error {
	made := [2][]string{make([]string, len(prompts)), make([]string, len(prompts))}
	err := e.each(ctx, len(prompts), "answers", func(ctx context.Context, s side, which, i int) error {
		a, err := s.Answer(ctx, []chattemplate.Message{{Role: "user", Content: prompts[i].prompt}},
			generate.Options{Sampling: e.Sampling, MaxTokens: e.MaxTokens, Seed: randomFor(e.Seed, "answer", prompts[i].stream, prompts[i].prompt).Uint64()}, nil)
		if err != nil {
			return fmt.Errorf("answer %q: %w", prompts[i].prompt, err)
		}
		made[which][i] = strings.TrimSpace(a.Text)
		return nil
	})
	if err != nil {
		return err
	}
	var real []string
	var kept [2][]string
	var asked []answered
	for i, g := range prompts {
		real = append(real, g.truths...)
		for k := range kept {
			kept[k] = append(kept[k], made[k][i])
		}
		asked = append(asked, answered{g, [2]string{made[0][i], made[1][i]}})
		r.Samples = append(r.Samples, Sample{g.prompt, g.truths[0], made[0][i], made[1][i]})
	}
	emotes := newEmoteCounter(e.Emotes)
	r.Style = StyleReport{
		Real: describe(real, emotes), Base: describe(kept[0], emotes), Tuned: describe(kept[1], emotes),
		LengthDivergence:      e.kinds(asked, len(lengthBins)+1, func(s string) int { return bin(lengthBins, len(words(s))) }),
		EmoteDivergence:       e.kinds(asked, len(emoteBins)+1, func(s string) int { return bin(emoteBins, emotes.count(s)) }),
		CasingDivergence:      e.kinds(asked, casings, emotes.casing),
		PunctuationDivergence: e.kinds(asked, endings, ending),
		Timing:                e.timing(asked),
	}
	if err := e.mauve(ctx, r, asked); err != nil {
		return err
	}
	r.Memorisation = e.memorisation(asked)
	return nil
}

// longResponse is from how many words on a response is no commonplace.
const longResponse = 5

// memorisation counts answers that are a training response word for word.
func (e *evaluation) memorisation(asked []answered) Memorisation {
	trained := map[string]bool{}
	for _, x := range e.training {
		trained[normal(x.Response)] = true
	}
	share := func(least int) (Compared, float64) {
		copied := func(s string) float64 {
			if len(words(s)) >= least && trained[normal(s)] {
				return 1
			}
			return 0
		}
		real, n := 0.0, 0.0
		for _, a := range asked {
			for _, t := range a.truths {
				real += copied(t)
				n++
			}
		}
		return bootstrap(len(asked), e.Seed, e.Resamples, func(weights []int) (float64, float64) {
			var sum [2]float64
			prompts := 0.0
			for i, w := range weights {
				for k := range sum {
					sum[k] += float64(w) * copied(asked[i].made[k])
				}
				prompts += float64(w)
			}
			return sum[0] / prompts, sum[1] / prompts
		}, difference), real / n
	}
	var m Memorisation
	m.Any, m.AnyReal = share(1)
	m.Long, m.LongReal = share(longResponse)
	return m
}
