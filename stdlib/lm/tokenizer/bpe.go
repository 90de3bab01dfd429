package tokenizer

import (
	"container/heap"
	"fmt"
	"math"
	"unicode/utf8"
)

// bpe is byte-pair encoding (Sennrich et al., arXiv:1508.07909): a word's symbols are merged pair by pair, the pair
// learnt first before all others and the leftmost of equals.
type bpe struct {
	words        map[string]int // tokens by the text (or bytes) that they stand for
	merges       map[uint64]merge
	byteLevel    bool // symbols are bytes; otherwise characters
	byteIDs      [256]int
	byteFallback bool // a character without a token becomes its bytes <0xXX>
	unknown      int  // the token for what has none; -1: it is left out
	fuseUnknown  bool // unknown characters in a row share one token
	ignoreMerges bool // a word that is a token is that token
}

// merge is what a pair becomes, and how early it was learnt.
type merge struct{ rank, id int32 }

func pairKey(left, right int) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

// byteName spells a byte as a token of byte fallback.
func byteName(b byte) string { return fmt.Sprintf("<0x%02X>", b) }

const noID = -1

func (m *bpe) encode(ids []int, word string) []int {
	if m.ignoreMerges {
		if id, ok := m.words[word]; ok {
			return append(ids, id)
		}
	}
	start := len(ids)
	if m.byteLevel {
		ids = m.byteSymbols(ids, word)
	} else {
		ids = m.charSymbols(ids, word)
	}
	return ids[:start+m.merge(ids[start:])]
}

func (m *bpe) byteSymbols(ids []int, word string) []int {
	wasUnknown := false
	for i := range len(word) {
		id := m.byteIDs[word[i]]
		if id == noID {
			if m.unknown != noID && !(m.fuseUnknown && wasUnknown) {
				ids = append(ids, m.unknown)
			}
			wasUnknown = true
			continue
		}
		wasUnknown = false
		ids = append(ids, id)
	}
	return ids
}

func (m *bpe) charSymbols(ids []int, word string) []int {
	wasUnknown := false
	for i := 0; i < len(word); {
		_, size := utf8.DecodeRuneInString(word[i:])
		char := word[i : i+size]
		i += size
		if id, ok := m.words[char]; ok {
			ids = append(ids, id)
			wasUnknown = false
			continue
		}
		if m.byteFallback {
			if all, ok := m.fallback(ids, char); ok {
				ids, wasUnknown = all, false
				continue
			}
		}
		if m.unknown != noID && !(m.fuseUnknown && wasUnknown) {
			ids = append(ids, m.unknown)
		}
		wasUnknown = true
	}
	return ids
}

// fallback appends the byte tokens of a character, if all are there.
func (m *bpe) fallback(ids []int, char string) ([]int, bool) {
	for i := range len(char) {
		id := m.byteIDs[char[i]]
		if id == noID {
			return nil, false
		}
		ids = append(ids, id)
	}
	return ids, true
}

// shortWord is up to how many symbols looking at all pairs for each merge beats keeping them in a heap.
const shortWord = 48

// merge merges symbols in place and returns how many are left.
func (m *bpe) merge(symbols []int) int {
	if len(symbols) < 2 {
		return len(symbols)
	}
	if len(symbols) > shortWord {
		return m.mergeLong(symbols)
	}
	var found [shortWord]merge // what symbols i and i+1 merge into
	n := len(symbols)
	look := func(i int) merge {
		if g, ok := m.merges[pairKey(symbols[i], symbols[i+1])]; ok {
			return g
		}
		return merge{rank: math.MaxInt32}
	}
	for i := range n - 1 {
		found[i] = look(i)
	}
	for n > 1 {
		best := 0
		for i := 1; i < n-1; i++ {
			if found[i].rank < found[best].rank {
				best = i
			}
		}
		if found[best].rank == math.MaxInt32 {
			break
		}
		symbols[best] = int(found[best].id)
		copy(symbols[best+1:n], symbols[best+2:n])
		copy(found[best:n-1], found[best+1:n-1])
		n--
		if best > 0 {
			found[best-1] = look(best - 1)
		}
		if best < n-1 {
			found[best] = look(best)
		}
	}
	return n
}

// candidate is a pair that may be merged: the symbol at a position with the one after it.
type candidate struct {
	rank, at, id int32
}

type candidates []candidate

func (c candidates) Len() int { return len(c) }
func (c candidates) Less(i, j int) bool {
	if c[i].rank != c[j].rank {
		return c[i].rank < c[j].rank
	}
	return c[i].at < c[j].at
}
func (c candidates) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *candidates) Push(x any)   { *c = append(*c, x.(candidate)) }
func (c *candidates) Pop() any {
	old := *c
	last := old[len(old)-1]
	*c = old[:len(old)-1]
	return last
}

// mergeLong merges with a linked list and a heap, so that a megabyte without a space takes n·log n and not n².
func (m *bpe) mergeLong(symbols []int) int {
	n := len(symbols)
	next, prev := make([]int32, n), make([]int32, n)
	var queue candidates
	offer := func(at, right int32) {
		if at < 0 || right >= int32(n) {
			return
		}
		if g, ok := m.merges[pairKey(symbols[at], symbols[right])]; ok {
			heap.Push(&queue, candidate{g.rank, at, g.id})
		}
	}
	for i := range int32(n) {
		next[i], prev[i] = i+1, i-1
		offer(i, i+1)
	}
	for queue.Len() > 0 {
		c := heap.Pop(&queue).(candidate)
		right := next[c.at]
		if symbols[c.at] == noID || right >= int32(n) {
			continue
		}
		// The pair may have changed since it was queued.
		if g, ok := m.merges[pairKey(symbols[c.at], symbols[right])]; !ok || g.id != c.id {
			continue
		}
		symbols[c.at], symbols[right] = int(c.id), noID
		next[c.at] = next[right]
		if next[right] < int32(n) {
			prev[next[right]] = c.at
		}
		offer(prev[c.at], c.at)
		offer(c.at, next[c.at])
	}
	left := 0
	for i := int32(0); i < int32(n); i = next[i] {
		symbols[left] = symbols[i]
		left++
	}
	return left
}
