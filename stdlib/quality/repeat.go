package quality

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// sent is one message among those that a rule about repetition compares.
type sent struct {
	stream, id, author string
	at                 time.Duration
	key                string
	pair               int // the first of its pairs, or -1
}

// pairMessages are the messages of the pairs alive, each once, by stream, time and id: an order that does not depend on
// the order of the pairs.
func (s *scene) pairMessages() []sent {
	emotes := s.emoteSet()
	type id struct{ stream, message string }
	seen := make(map[id]bool, len(s.alive))
	out := make([]sent, 0, len(s.alive))
	for _, i := range s.alive {
		p := &s.pairs[i]
		k := id{p.Stream, p.MessageID}
		if seen[k] {
			continue
		}
		seen[k] = true
		out = append(out, sent{stream: p.Stream, id: p.MessageID, author: p.AuthorHash, at: p.MessageTime, key: Key(s.response(i), emotes), pair: i})
	}
	sortSent(out)
	return out
}

// messages are those of the whole chat where it is given, else those of the pairs.
func (s *scene) messages() []sent {
	fromPairs := s.pairMessages()
	if len(s.ctx.Chats) == 0 {
		return fromPairs
	}
	var out []sent
	for _, m := range fromPairs {
		if _, ok := s.ctx.Chats[m.stream]; !ok {
			out = append(out, m)
		}
	}
	emotes := s.emoteSet()
	for stream, messages := range s.ctx.Chats {
		for _, m := range messages {
			out = append(out, sent{stream: stream, id: m.ID, author: m.Author.ID, at: m.Time, key: Key(m.Text, emotes), pair: -1})
		}
	}
	sortSent(out)
	return out
}

func sortSent(m []sent) {
	slices.SortFunc(m, func(a, b sent) int {
		if c := strings.Compare(a.stream, b.stream); c != 0 {
			return c
		}
		if a.at != b.at {
			if a.at < b.at {
				return -1
			}
			return 1
		}
		return strings.Compare(a.id, b.id)
	})
}

// byMessage is a judge that drops the pairs of the messages with a reason.
func (s *scene) byMessage(reasons map[[2]string]string) judge {
	return judge{drop: func(i int) string {
		p := &s.pairs[i]
		return reasons[[2]string{p.Stream, p.MessageID}]
	}}
}

func (r Duplicates) prepare(s *scene) (judge, error) {
	type place struct{ stream, key string }
	kept := map[place]*sent{}
	reasons := map[[2]string]string{}
	messages := s.pairMessages()
	for n := range messages {
		m := &messages[n]
		at := place{m.stream, m.key}
		if r.Global {
			at.stream = ""
		}
		first := kept[at]
		if first != nil && (r.Window == 0 || m.at-first.at <= r.Window) {
			reasons[[2]string{m.stream, m.id}] = "repeats message " + first.id
			continue
		}
		kept[at] = m
	}
	return s.byMessage(reasons), nil
}

func (r NearDuplicates) prepare(s *scene) (judge, error) {
	messages := s.pairMessages()
	reasons := map[[2]string]string{}
	for from := 0; from < len(messages); {
		to := len(messages)
		if !r.Global {
			to = from
			for to < len(messages) && messages[to].stream == messages[from].stream {
				to++
			}
		}
		nearDuplicates(messages[from:to], r.Similarity, r.Window, reasons)
		from = to
	}
	return s.byMessage(reasons), nil
}

// nearDuplicates finds, for each message in order, whether an earlier one that was kept, not longer ago than the window,
// is at least as similar as asked. It is exact: two sets of trigrams with Jaccard similarity t or more must share one of
// the rarest |x| - ceil(t |x|) + 1 of each (prefix filtering: Bayardo, Ma & Srikant, "Scaling up all pairs similarity
// search", WWW 2007), so that only messages that share one of those are compared.
func nearDuplicates(messages []sent, similarity float64, window time.Duration, reasons map[[2]string]string) {
	sets := trigramSets(messages)
	index := map[uint32][]int{} // trigram -> kept messages that have it in their prefix, in order
	tried := make([]int, len(messages))
	for n := range messages {
		set := sets[n]
		prefix := set[:prefixLength(len(set), similarity)]
		found := -1
		for _, g := range prefix {
			list := index[g]
			if window > 0 { // what is too old for this one is too old for all that follow
				old := sort.Search(len(list), func(i int) bool { return messages[n].at-messages[list[i]].at <= window })
				if old > 0 {
					list = list[old:]
					index[g] = list
				}
			}
			for _, k := range list {
				if tried[k] == n+1 || found >= 0 && k >= found {
					continue
				}
				tried[k] = n + 1
				if similar(set, sets[k], similarity) {
					found = k
				}
			}
		}
		if found >= 0 {
			reasons[[2]string{messages[n].stream, messages[n].id}] = "nearly repeats message " + messages[found].id
			continue
		}
		for _, g := range prefix {
			index[g] = append(index[g], n)
		}
	}
}

// Nearest finds, for each of texts, the first of among with a Jaccard similarity of character trigrams of at least
// similarity, or -1. Texts are compared as they are; see [Key] for a normal form. An empty text is like no other.
func Nearest(among, texts []string, similarity float64) []int {
	all := make([]sent, 0, len(among)+len(texts))
	for _, t := range among {
		all = append(all, sent{key: t})
	}
	for _, t := range texts {
		all = append(all, sent{key: t})
	}
	sets := trigramSets(all)
	index := map[uint32][]int{}
	for n := range among {
		set := sets[n]
		for _, g := range set[:prefixLength(len(set), similarity)] {
			index[g] = append(index[g], n)
		}
	}
	out := make([]int, len(texts))
	tried := make([]int, len(among))
	for n := range texts {
		set := sets[len(among)+n]
		found := -1
		for _, g := range set[:prefixLength(len(set), similarity)] {
			for _, k := range index[g] {
				if found >= 0 && k >= found {
					break
				}
				if tried[k] == n+1 {
					continue
				}
				tried[k] = n + 1
				if similar(set, sets[k], similarity) {
					found = k
				}
			}
		}
		out[n] = found
	}
	return out
}

// prefixLength is how many of a set's n rarest members another set must touch to be similar.
func prefixLength(n int, similarity float64) int {
	if n == 0 {
		return 0
	}
	need := int(similarity * float64(n))
	if float64(need) < similarity*float64(n)-1e-9 {
		need++
	}
	return n - max(need, 1) + 1
}

// trigramSets gives each message the trigrams of its key as numbers in order of rarity, rarest first.
func trigramSets(messages []sent) [][]uint32 {
	type gram struct {
		id    uint32
		count int
		text  [3]rune
	}
	grams := map[[3]rune]*gram{}
	var list []*gram
	sets := make([][]uint32, len(messages))
	var runes []rune
	for n := range messages {
		if messages[n].key == "" {
			continue
		}
		runes = append(runes[:0], ' ')
		runes = append(runes, []rune(messages[n].key)...)
		runes = append(runes, ' ')
		set := make([]uint32, 0, len(runes))
		for i := 0; i+3 <= len(runes); i++ {
			t := [3]rune(runes[i : i+3])
			g := grams[t]
			if g == nil {
				g = &gram{id: uint32(len(list)), text: t}
				grams[t] = g
				list = append(list, g)
			}
			set = append(set, g.id)
		}
		slices.Sort(set)
		set = slices.Compact(set)
		for _, id := range set {
			list[id].count++
		}
		sets[n] = set
	}
	order := slices.Clone(list)
	slices.SortFunc(order, func(a, b *gram) int {
		if a.count != b.count {
			return a.count - b.count
		}
		return slices.Compare(a.text[:], b.text[:])
	})
	rank := make([]uint32, len(list))
	for i, g := range order {
		rank[g.id] = uint32(i)
	}
	for _, set := range sets {
		for i, id := range set {
			set[i] = rank[id]
		}
		slices.Sort(set)
	}
	return sets
}

// similar reports whether the Jaccard similarity of two sorted sets is at least t.
func similar(a, b []uint32, t float64) bool {
	if float64(min(len(a), len(b))) < t*float64(max(len(a), len(b)))-1e-9 {
		return false
	}
	both := 0
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] < b[j]:
			i++
		case a[i] > b[j]:
			j++
		default:
			both++
			i++
			j++
		}
	}
	return float64(both) >= t*float64(len(a)+len(b)-both)-1e-9
}

func (r Copypasta) prepare(s *scene) (judge, error) {
	reason := fmt.Sprintf("sent %d times or more within %v", r.Copies, r.Window)
	return s.bursts(r.Copies, r.Window, reason, func(m *sent) string {
		if len([]rune(m.key)) < r.MinChars {
			return ""
		}
		return m.key
	}), nil
}

func (r Flood) prepare(s *scene) (judge, error) {
	reason := fmt.Sprintf("the author sent more than %d messages within %v", r.Messages, r.Window)
	return s.bursts(r.Messages+1, r.Window, reason, func(m *sent) string { return m.author }), nil
}

// bursts drops the messages of each group of a stream in which count or more lie within a window. Messages that group
// names with the empty string belong to none.
func (s *scene) bursts(count int, window time.Duration, reason string, group func(*sent) string) judge {
	messages := s.messages()
	type place struct{ stream, group string }
	groups := map[place][]*sent{}
	for n := range messages {
		if g := group(&messages[n]); g != "" {
			at := place{messages[n].stream, g}
			groups[at] = append(groups[at], &messages[n])
		}
	}
	reasons := map[[2]string]string{}
	for _, list := range groups { // each group adds its own messages: the order does not matter
		for i := 0; i+count <= len(list); i++ {
			if list[i+count-1].at-list[i].at <= window {
				for _, m := range list[i : i+count] {
					reasons[[2]string{m.stream, m.id}] = reason
				}
			}
		}
	}
	return s.byMessage(reasons)
}
