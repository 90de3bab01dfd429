package quality

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

//go:embed words_mild.txt
var mildWords string

// mildList is the package's own word list.
func mildList() []string {
	words, err := ReadWordList(strings.NewReader(mildWords))
	if err != nil {
		panic("quality: the built-in word list: " + err.Error())
	}
	return words
}

// maxWordList bounds a word list file.
const maxWordList = 4 << 20

// ReadWordList reads a list for [Toxicity]: one entry a line, a word, several words, or a beginning of words that ends in
// *; lines that are empty or begin with # do not count. The entries come back sorted, each once, so that equal lists make
// equal rules.
func ReadWordList(r io.Reader) ([]string, error) {
	var words []string
	in := bufio.NewScanner(io.LimitReader(r, maxWordList+1))
	read := 0
	for line := 1; in.Scan(); line++ {
		if read += len(in.Bytes()) + 1; read > maxWordList {
			return nil, fmt.Errorf("read word list: it is larger than %d MB", maxWordList>>20)
		}
		w := strings.TrimSpace(in.Text())
		if w == "" || strings.HasPrefix(w, "#") {
			continue
		}
		if _, err := parsePattern(w); err != nil {
			return nil, fmt.Errorf("read word list at line %d: %w", line, err)
		}
		words = append(words, strings.ToLower(w))
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("read word list: %w", err)
	}
	if len(words) == 0 {
		return nil, errors.New("read word list: it has no words")
	}
	slices.Sort(words)
	return slices.Compact(words), nil
}

// pattern is one entry of a word list.
type pattern struct {
	entry  string
	words  []string // plain forms
	prefix bool     // the last of words is a beginning
}

func parsePattern(entry string) (pattern, error) {
	p := pattern{entry: entry}
	text, prefix := strings.CutSuffix(strings.TrimSpace(entry), "*")
	p.prefix = prefix
	for _, w := range strings.Fields(text) {
		plain := plainWord(w)
		if plain == "" || strings.Contains(w, "*") {
			return p, fmt.Errorf("%q is not a word list entry: write words, with a * at the end at most", entry)
		}
		p.words = append(p.words, plain)
	}
	if len(p.words) == 0 {
		return p, fmt.Errorf("%q is not a word list entry: it has no word", entry)
	}
	return p, nil
}

// wordList finds entries in texts. Whole words are looked up by their first word; beginnings by their first two letters.
type wordList struct {
	whole  map[string][]pattern
	starts map[string][]pattern
}

func compileWords(entries []string) (*wordList, error) {
	l := &wordList{whole: map[string][]pattern{}, starts: map[string][]pattern{}}
	for _, e := range entries {
		p, err := parsePattern(e)
		if err != nil {
			return nil, err
		}
		if len(p.words) == 1 && p.prefix {
			k := firstTwo(p.words[0])
			l.starts[k] = append(l.starts[k], p)
		} else {
			l.whole[p.words[0]] = append(l.whole[p.words[0]], p)
		}
	}
	return l, nil
}

func firstTwo(w string) string {
	n := 0
	for i := range w {
		if n == 2 {
			return w[:i]
		}
		n++
	}
	return w
}

// find is the first entry that a text holds, or empty.
func (l *wordList) find(text string) string {
	var words []string
	for _, w := range fields(text) {
		if p := plainWord(w); p != "" {
			words = append(words, p)
		}
	}
	for n, w := range words {
		for _, p := range l.starts[firstTwo(w)] {
			if strings.HasPrefix(w, p.words[0]) {
				return p.entry
			}
		}
		if len(w) == 1 && len(l.starts[w]) > 0 {
			continue
		}
		for _, p := range l.whole[w] {
			if p.matches(words[n:]) {
				return p.entry
			}
		}
	}
	return ""
}

func (p pattern) matches(words []string) bool {
	if len(words) < len(p.words) {
		return false
	}
	for i, w := range p.words {
		if i == len(p.words)-1 && p.prefix {
			return strings.HasPrefix(words[i], w)
		}
		if words[i] != w {
			return false
		}
	}
	return true
}

// plainWord is a word as a word list compares it: letters only, lower case, without accents, signs that stand for letters
// read as letters, and each run of a letter once, on both sides of the comparison. A number stays a number.
func plainWord(word string) string {
	word = strings.Trim(word, "!?.,;:|'\"()[]*_~-") // in the middle of a word these may stand for letters
	letters := false
	for _, c := range word {
		letters = letters || unicode.IsLetter(c)
	}
	mixed := isMixed(word)
	var b strings.Builder
	last := rune(-1)
	for _, c := range norm.NFKD.String(word) {
		if mixed {
			if latin, ok := lookalikes[unicode.ToLower(c)]; ok {
				c = latin
			}
		}
		if letters {
			switch c {
			case '0':
				c = 'o'
			case '1', '!', '|':
				c = 'i'
			case '3':
				c = 'e'
			case '4', '@':
				c = 'a'
			case '5', '$':
				c = 's'
			case '7':
				c = 't'
			}
		}
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			continue
		}
		if c = unicode.ToLower(c); c != last {
			b.WriteRune(c)
		}
		last = c
	}
	return b.String()
}

// lookalikes are small Cyrillic and Greek letters that pass for Latin ones, after the confusables of Unicode (UTS #39).
var lookalikes = map[rune]rune{
	'а': 'a', 'с': 'c', 'ԁ': 'd', 'е': 'e', 'һ': 'h', 'і': 'i', 'ј': 'j', 'к': 'k', 'о': 'o', 'р': 'p', 'ԛ': 'q', 'ѕ': 's', 'т': 't', 'у': 'y', 'х': 'x',
	'ԝ': 'w', 'в': 'b', 'м': 'm', 'н': 'h',
	'α': 'a', 'ι': 'i', 'κ': 'k', 'ν': 'v', 'ο': 'o', 'ρ': 'p', 'τ': 't', 'υ': 'u', 'χ': 'x',
}

// isMixed reports whether a word has letters of Latin and of Cyrillic or Greek, as no word of a language has.
func isMixed(word string) bool {
	latin, other := false, false
	for _, c := range word {
		latin = latin || unicode.Is(unicode.Latin, c)
		other = other || unicode.Is(unicode.Cyrillic, c) || unicode.Is(unicode.Greek, c)
	}
	return latin && other
}
