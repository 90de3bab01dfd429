package tokenizer

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// cutter cuts a piece of text into smaller ones, appended to out. first says whether the piece begins the whole text.
type cutter func(out []string, piece string, first bool) ([]string, error)

// The patterns by which the model families cut text into words, as their tokenizer.json files spell them.
const (
	patternGPT2   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	patternLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternQwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternTekken = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// finder returns where the match that begins at text[at] ends, or at where there is none.
type finder func(text string, at int) int

// finders read the well-known patterns by hand: twenty times as fast as a backtracking engine.
var finders = map[string]finder{
	patternGPT2:   findGPT2,
	patternLlama3: func(text string, at int) int { return findTiktoken(text, at, 3) },
	patternQwen2:  func(text string, at int) int { return findTiktoken(text, at, 1) },
}

// char returns the character at text[at] and where the next one begins; at the end it returns -1.
func char(text string, at int) (r rune, next int) {
	if at >= len(text) {
		return -1, at
	}
	if c := text[at]; c < utf8.RuneSelf {
		return rune(c), at + 1
	}
	r, size := utf8.DecodeRuneInString(text[at:])
	return r, at + size
}

// class is what the patterns tell apart.
type class uint8

const (
	other class = iota
	letter
	number
	space
	end
)

var asciiClass = func() (table [utf8.RuneSelf]class) {
	for r := range rune(utf8.RuneSelf) {
		table[r] = slowClass(r)
	}
	return table
}()

func classOf(r rune) class {
	switch {
	case r < 0:
		return end
	case r < utf8.RuneSelf:
		return asciiClass[r]
	}
	return slowClass(r)
}

func slowClass(r rune) class {
	switch {
	case unicode.IsLetter(r):
		return letter
	case unicode.IsNumber(r):
		return number
	case unicode.IsSpace(r):
		return space
	}
	if older := standIn(r); older != r {
		return slowClass(older)
	}
	return other
}

// run returns where the characters of class c that begin at at end.
func run(text string, at int, c class) int {
	for {
		r, next := char(text, at)
		if classOf(r) != c {
			return at
		}
		at = next
	}
}

// contraction returns the end of 's, 't, 're, 've, 'm, 'll or 'd at text[at], where there is an apostrophe.
func contraction(text string, at int, anyCase bool) int {
	letterAt := func(i int) (rune, int) {
		r, next := char(text, i)
		if anyCase {
			switch {
			case r >= 'A' && r <= 'Z':
				r += 'a' - 'A'
			case r == 'ſ': // folds to s
				r = 's'
			}
		}
		return r, next
	}
	a, afterA := letterAt(at + 1)
	switch a {
	case 's', 't', 'm', 'd':
		return afterA
	case 'r', 'v', 'l':
		b, afterB := letterAt(afterA)
		if a == 'l' && b == 'l' || a != 'l' && b == 'e' {
			return afterB
		}
	}
	return at
}

// whitespace matches \s+(?!\S)|\s+ at text[at]: a run, less its last character when a word follows.
func whitespace(text string, at int) int {
	stop, last := at, at
	for {
		r, next := char(text, stop)
		if classOf(r) != space {
			break
		}
		last, stop = stop, next
	}
	if stop < len(text) && last > at {
		return last
	}
	return stop
}

func findGPT2(text string, at int) int {
	r, next := char(text, at)
	if r == '\'' {
		if stop := contraction(text, at, false); stop > at {
			return stop
		}
	}
	word := at
	if r == ' ' {
		word = next
		r, _ = char(text, word)
	}
	switch c := classOf(r); c {
	case letter, number, other:
		return run(text, word, c)
	}
	return whitespace(text, at)
}

// findTiktoken reads the pattern of Llama 3 and Qwen 2, in which up to digits digits make a word.
func findTiktoken(text string, at, digits int) int {
	r, next := char(text, at)
	if r == '\'' {
		if stop := contraction(text, at, true); stop > at {
			return stop
		}
	}
	c := classOf(r)
	switch {
	case c == letter:
		return run(text, at, letter)
	case c == number:
		for n := 0; n < digits; n++ {
			r, next := char(text, at)
			if classOf(r) != number {
				break
			}
			at = next
		}
		return at
	case r != '\r' && r != '\n': // one character of any other kind may lead a word of letters
		if follow, _ := char(text, next); classOf(follow) == letter {
			return run(text, next, letter)
		}
	}
	word := at
	if r == ' ' {
		word = next
		r, _ = char(text, word)
	}
	if classOf(r) == other {
		word = run(text, word, other)
		for word < len(text) && (text[word] == '\r' || text[word] == '\n') {
			word++
		}
		return word
	}
	// \s*[\r\n]+ : the white space up to its last line end
	stop, lines := at, at
	for {
		r, next := char(text, stop)
		if classOf(r) != space {
			break
		}
		stop = next
		if r == '\r' || r == '\n' {
			lines = stop
		}
	}
	if lines > at {
		return lines
	}
	return whitespace(text, at)
}

// span is a part of a text, which matched the pattern or did not.
type span struct {
	from, to int
	match    bool
}

// spans cuts text into matches of a finder and what lies between them.
func (find finder) spans(text string) []span {
	out := make([]span, 0, len(text)/4+1)
	between := 0
	for at := 0; at < len(text); {
		stop := find(text, at)
		if stop == at {
			_, at = char(text, at)
			continue
		}
		if between < at {
			out = append(out, span{between, at, false})
		}
		out = append(out, span{at, stop, true})
		at, between = stop, stop
	}
	if between < len(text) {
		out = append(out, span{between, len(text), false})
	}
	return out
}

// literal finds a fixed text.
func literal(what string) finder {
	return func(text string, at int) int {
		if what != "" && strings.HasPrefix(text[at:], what) {
			return at + len(what)
		}
		return at
	}
}

// regexTimeout ends a match that a hostile pattern makes endless.
const regexTimeout = 20 * time.Second

// compileRegex compiles a pattern that is none of the well-known ones.
func compileRegex(pattern string) (func(text string) ([]span, error), error) {
	re, err := regexp2.Compile(pattern, regexp2.None)
	if err != nil {
		return nil, fmt.Errorf("pattern %q is not supported: %w", pattern, err)
	}
	re.MatchTimeout = regexTimeout
	return func(text string) ([]span, error) {
		runes := make([]rune, 0, len(text))
		offset := make([]int, 0, len(text)+1) // of each rune in text
		for i, r := range text {
			runes = append(runes, standIn(r))
			offset = append(offset, i)
		}
		offset = append(offset, len(text))
		var out []span
		between := 0
		m, err := re.FindRunesMatch(runes)
		for ; m != nil && err == nil; m, err = re.FindNextMatch(m) {
			if m.Length == 0 {
				continue
			}
			from, to := offset[m.Index], offset[m.Index+m.Length]
			if between < from {
				out = append(out, span{between, from, false})
			}
			out = append(out, span{from, to, true})
			between = to
		}
		if err != nil {
			return nil, err
		}
		if between < len(text) {
			out = append(out, span{between, len(text), false})
		}
		return out, nil
	}, nil
}

// splitter cuts at the matches of a pattern and joins the parts as the behaviour says.
func splitter(find func(string) ([]span, error), behaviour string, invert bool) (cutter, error) {
	switch behaviour {
	case "Isolated", "Removed", "Contiguous", "MergedWithPrevious", "MergedWithNext":
	default:
		return nil, fmt.Errorf("split behaviour %q is not supported", behaviour)
	}
	return func(out []string, piece string, _ bool) ([]string, error) {
		spans, err := find(piece)
		if err != nil {
			return nil, err
		}
		if invert {
			for i := range spans {
				spans[i].match = !spans[i].match
			}
		}
		for _, s := range join(spans, behaviour) {
			out = append(out, piece[s.from:s.to])
		}
		return out, nil
	}, nil
}

func join(spans []span, behaviour string) []span {
	var out []span
	switch behaviour {
	case "Removed":
		for _, s := range spans {
			if !s.match {
				out = append(out, s)
			}
		}
	case "Contiguous":
		for _, s := range spans {
			if last := len(out) - 1; last >= 0 && out[last].match == s.match {
				out[last].to = s.to
			} else {
				out = append(out, s)
			}
		}
	case "MergedWithPrevious":
		wasMatch := false
		for _, s := range spans {
			if last := len(out) - 1; s.match && !wasMatch && last >= 0 {
				out[last].to = s.to
			} else {
				out = append(out, s)
			}
			wasMatch = s.match
		}
	case "MergedWithNext":
		for i, s := range spans {
			if last := len(out) - 1; i > 0 && spans[i-1].match && !s.match {
				out[last].to = s.to
			} else {
				out = append(out, s)
			}
		}
	default:
		return spans
	}
	return out
}

// cutDigits cuts numbers out of the text, each digit alone or as a run.
func cutDigits(individual bool) cutter {
	return func(out []string, piece string, _ bool) ([]string, error) {
		start := 0
		inNumber := false
		for i, r := range piece {
			is := isDigit(r)
			if i > start && (is != inNumber || is && individual) {
				out = append(out, piece[start:i])
				start = i
			}
			inNumber = is
		}
		return append(out, piece[start:]), nil
	}
}

// cutMetaspace writes spaces as the replacement, puts one in front, and cuts before each.
func cutMetaspace(replacement, scheme string, split bool) cutter {
	return func(out []string, piece string, first bool) ([]string, error) {
		piece = strings.ReplaceAll(piece, " ", replacement)
		if !strings.HasPrefix(piece, replacement) && (scheme == "always" || scheme == "first" && first) {
			piece = replacement + piece
		}
		if !split {
			return append(out, piece), nil
		}
		for _, s := range join(literal(replacement).spans(piece), "MergedWithNext") {
			out = append(out, piece[s.from:s.to])
		}
		return out, nil
	}
}

// cutPrefix puts a space before a piece that has none.
func cutPrefix(out []string, piece string, _ bool) ([]string, error) {
	if !strings.HasPrefix(piece, " ") {
		piece = " " + piece
	}
	return append(out, piece), nil
}

// cutFind cuts at a finder's matches.
func cutFind(find finder) cutter {
	return func(out []string, piece string, _ bool) ([]string, error) {
		for at := 0; at < len(piece); {
			stop := find(piece, at)
			if stop == at {
				return nil, fmt.Errorf("the pattern leaves text out at byte %d", at)
			}
			out = append(out, piece[at:stop])
			at = stop
		}
		return out, nil
	}
}
