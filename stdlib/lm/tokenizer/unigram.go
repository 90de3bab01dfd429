package tokenizer

import (
	"math"
	"unicode/utf8"
)

// unigram picks, of all ways to cut a word into tokens, the one whose scores add up highest (Kudo, arXiv:1804.10959),
// found from left to right (Viterbi).
type unigram struct {
	scores       []float64      // by id
	words        map[string]int // tokens by text
	root         *scoreNode
	unknown      int // the token for a character that has none; -1: such text cannot be encoded and is left out
	byteIDs      [256]int
	byteFallback bool
	penalty      float64 // the score of an unknown character
}

// scoreNode is a state of the trie of all tokens.
type scoreNode struct {
	next map[byte]*scoreNode
	id   int
}

// unknownPenalty is how much worse than the worst token an unknown character is; SentencePiece's number.
const unknownPenalty = 10

func newUnigram(tokens []string, scores []float64, unknown int) *unigram {
	m := &unigram{scores: scores, words: map[string]int{}, root: &scoreNode{id: noID}, unknown: unknown}
	lowest := math.Inf(1)
	for id, token := range tokens {
		m.words[token] = id
		lowest = min(lowest, scores[id])
		n := m.root
		for i := range len(token) {
			if n.next == nil {
				n.next = map[byte]*scoreNode{}
			}
			if n.next[token[i]] == nil {
				n.next[token[i]] = &scoreNode{id: noID}
			}
			n = n.next[token[i]]
		}
		n.id = id
	}
	m.penalty = lowest - unknownPenalty
	return m
}

// path is the best way to reach a byte of the word.
type path struct {
	from  int // where its last token begins; -1: not reached
	id    int // its last token
	score float64
}

func (m *unigram) encode(ids []int, word string) []int {
	best := make([]path, len(word)+1)
	for i := range best {
		best[i].from = -1
	}
	best[0].from = 0
	for at := 0; at < len(word); {
		_, size := utf8.DecodeRuneInString(word[at:])
		single := false
		n := m.root
		for end := at; end < len(word); {
			if n = n.next[word[end]]; n == nil {
				break
			}
			end++
			if n.id == noID {
				continue
			}
			if s := best[at].score + m.scores[n.id]; best[end].from < 0 || s > best[end].score {
				best[end] = path{at, n.id, s}
			}
			single = single || end-at == size
		}
		if !single {
			if s := best[at].score + m.penalty; best[at+size].from < 0 || s > best[at+size].score {
				best[at+size] = path{at, noID, s}
			}
		}
		at += size
	}
	// Walk back, joining unknown characters in a row.
	type part struct{ from, to, id int }
	var parts []part
	for end := len(word); end > 0; end = best[end].from {
		p := best[end]
		if last := len(parts) - 1; p.id == noID && last >= 0 && parts[last].id == noID {
			parts[last].from = p.from
			continue
		}
		parts = append(parts, part{p.from, end, p.id})
	}
	for i := len(parts) - 1; i >= 0; i-- {
		p := parts[i]
		if p.id != noID {
			ids = append(ids, p.id)
			continue
		}
		ids = m.appendUnknown(ids, word[p.from:p.to])
	}
	return ids
}

// appendUnknown appends the byte tokens of text that has no token, or the unknown token.
func (m *unigram) appendUnknown(ids []int, text string) []int {
	if id, ok := m.words[text]; ok {
		return append(ids, id)
	}
	if m.byteFallback {
		all := true
		for i := range len(text) {
			all = all && m.byteIDs[text[i]] != noID
		}
		if all {
			for i := range len(text) {
				ids = append(ids, m.byteIDs[text[i]])
			}
			return ids
		}
	}
	if m.unknown == noID {
		return ids
	}
	return append(ids, m.unknown)
}
