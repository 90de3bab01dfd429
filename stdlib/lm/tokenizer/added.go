package tokenizer

import (
	"math"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is an entry of added_tokens.
type addedToken struct {
	ID         int    `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // only where no letter or digit touches it
	LStrip     bool   `json:"lstrip"`      // takes the white space before it
	RStrip     bool   `json:"rstrip"`      // takes the white space after it
	Normalized bool   `json:"normalized"`  // looked for after normalizing
	Special    bool   `json:"special"`
}

// matcher finds added tokens: leftmost first, the longest of those.
type matcher struct {
	first [256]bool // bytes that some token begins with
	root  *node
}

// node is a state of the byte trie.
type node struct {
	next  map[byte]*node
	token *addedToken // ends here
}

// newMatcher builds the trie of the given spellings.
func newMatcher(tokens []addedToken, spelling func(string) string) *matcher {
	m := &matcher{root: &node{}}
	for i := range tokens {
		content := spelling(tokens[i].Content)
		if content == "" {
			continue
		}
		m.first[content[0]] = true
		n := m.root
		for j := range len(content) {
			if n.next == nil {
				n.next = map[byte]*node{}
			}
			if n.next[content[j]] == nil {
				n.next[content[j]] = &node{}
			}
			n = n.next[content[j]]
		}
		n.token = &tokens[i]
	}
	return m
}

// longest returns the longest token that begins at text[at], and where it ends.
func (m *matcher) longest(text string, at int) (token *addedToken, end int) {
	n := m.root
	for i := at; i < len(text); i++ {
		if n = n.next[text[i]]; n == nil {
			break
		}
		if n.token != nil {
			token, end = n.token, i+1
		}
	}
	return token, end
}

// split calls emit for each part of text in order: with the id of an added token, or with -1 for what lies between, and
// with where the part begins. A special token that touches a literal range is not one.
func (m *matcher) split(text string, literal [][2]int, emit func(part string, id, at int)) {
	done := 0 // all before it has been emitted
	for at := 0; at < len(text); {
		if !m.first[text[at]] {
			at++
			continue
		}
		token, end := m.longest(text, at)
		if token == nil {
			at++
			continue
		}
		start := at
		if token.Special && touches(literal, start, end) {
			at++
			continue
		}
		at = end
		if token.SingleWord && (endsWithWord(text[:start]) || startsWithWord(text[end:])) {
			continue
		}
		if token.LStrip {
			start = max(len(strings.TrimRightFunc(text[:start], unicode.IsSpace)), done)
		}
		if token.RStrip {
			end = len(text) - len(strings.TrimLeftFunc(text[end:], unicode.IsSpace))
		}
		if start < done { // a token before took the white space that this one begins with
			start = done
		}
		if start > done {
			emit(text[done:start], -1, done)
		}
		emit(text[start:max(start, end)], token.ID, start)
		done = max(done, end)
	}
	if done < len(text) {
		emit(text[done:], -1, done)
	}
}

func startsWithWord(s string) bool {
	r, size := utf8.DecodeRuneInString(s)
	return size > 0 && isWord(r)
}

func endsWithWord(s string) bool {
	r, size := utf8.DecodeLastRuneInString(s)
	return size > 0 && isWord(r)
}

// isWord is \w of Unicode regular expressions (UTS 18).
func isWord(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic, unicode.Join_Control)
}

// touches says whether the bytes from up to to share one with a range.
func touches(ranges [][2]int, from, to int) bool {
	for _, r := range ranges {
		if from < r[1] && r[0] < to {
			return true
		}
	}
	return false
}

// within tells what of the ranges lies between from and to, for a piece that may have been normalized since: if any does,
// then all of the piece.
func within(ranges [][2]int, from, to int) [][2]int {
	if touches(ranges, from, to) {
		return [][2]int{{0, math.MaxInt}}
	}
	return nil
}
