// Package misspelt finds which of the names that there are was meant by one that there is not.
package misspelt

import (
	"strings"
	"unicode/utf8"
)

// Nearest is the known name that is spelt most like name, or "" where none is like enough to be worth naming: a third of
// its letters may be wrong, and letters of the other case are the least of mistakes. Of names equally near it is the first.
func Nearest(name string, known []string) string {
	const most = 64 // letters: nobody misspells more
	letters := utf8.RuneCountInString(name)
	if letters > most {
		return ""
	}
	best, least := "", 2*(max(letters, 3)/3)+2
	for _, k := range known {
		if k == name || utf8.RuneCountInString(k) > most {
			continue
		}
		wrong := edits([]rune(strings.ToLower(name)), []rune(strings.ToLower(k)))
		if wrong > 0 && letters < 3 { // every short name is near every other
			continue
		}
		d := 2 * wrong
		if edits([]rune(name), []rune(k)) > wrong {
			d++
		}
		if d < least {
			best, least = k, d
		}
	}
	return best
}

// Hint is " (did you mean X?)" with the name that was meant, or "".
func Hint(name string, known []string) string {
	return Ask(Nearest(name, known))
}

// Ask is " (did you mean X?)" for the name X, or "" for none.
func Ask(meant string) string {
	if meant == "" {
		return ""
	}
	return " (did you mean " + meant + "?)"
}

// edits is how many letters have to be put in, taken out, replaced, or swapped with the next one, to make b of a: the
// optimal string alignment distance.
func edits(a, b []rune) int {
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		next[0] = i + 1
		for j := range b {
			d := row[j]
			if a[i] != b[j] {
				d = 1 + min(d, row[j+1], next[j])
				if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
					d = min(d, 1+before[j-1])
				}
			}
			next[j+1] = d
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}
