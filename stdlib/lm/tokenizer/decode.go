package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// decoder turns tokens into pieces of text.
type decoder func(tokens []string) []string

// decodeByteLevel joins the bytes that the tokens spell; a token outside the byte alphabet is taken as it is.
func decodeByteLevel(tokens []string) []string {
	var b []byte
	for _, t := range tokens {
		if s, ok := spelled(t); ok {
			b = append(b, s...)
		} else {
			b = append(b, t...)
		}
	}
	return []string{lossy(b)}
}

// decodeByteFallback turns runs of <0xXX> into text: U+FFFD for each byte of a run that is no UTF-8 as a whole.
func decodeByteFallback(tokens []string) []string {
	var out []string
	var run []byte
	flush := func() {
		if len(run) == 0 {
			return
		}
		if s := string(run); utf8.ValidString(s) {
			out = append(out, s)
		} else {
			for range run {
				out = append(out, "\uFFFD")
			}
		}
		run = nil
	}
	for _, t := range tokens {
		if b, ok := byteOf(t); ok {
			run = append(run, b)
			continue
		}
		flush()
		out = append(out, t)
	}
	flush()
	return out
}

// byteOf reads a token <0xXX>.
func byteOf(token string) (byte, bool) {
	if len(token) != 6 || token[:3] != "<0x" || token[5] != '>' {
		return 0, false
	}
	high, ok1 := hexDigit(token[3])
	low, ok2 := hexDigit(token[4])
	return high<<4 | low, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// decodeReplace replaces within each token.
func decodeReplace(old, replacement string) decoder {
	return func(tokens []string) []string {
		out := make([]string, len(tokens))
		for i, t := range tokens {
			out[i] = strings.ReplaceAll(t, old, replacement)
		}
		return out
	}
}

// decodeFuse joins all tokens into one.
func decodeFuse(tokens []string) []string { return []string{strings.Join(tokens, "")} }

// decodeStrip takes up to start characters c from the front of each token and up to stop from its end.
func decodeStrip(c string, start, stop int) decoder {
	return func(tokens []string) []string {
		out := make([]string, len(tokens))
		for i, t := range tokens {
			for range start {
				t = strings.TrimPrefix(t, c)
			}
			for range stop {
				t = strings.TrimSuffix(t, c)
			}
			out[i] = t
		}
		return out
	}
}

// decodeMetaspace turns the replacement into spaces, but drops it from the first token, where encoding put one.
func decodeMetaspace(replacement string, prepended bool) decoder {
	return func(tokens []string) []string {
		out := make([]string, len(tokens))
		for i, t := range tokens {
			space := " "
			if i == 0 && prepended {
				space = ""
			}
			out[i] = strings.ReplaceAll(t, replacement, space)
		}
		return out
	}
}

// decodeSequence runs decoders one after the other.
func decodeSequence(decoders []decoder) decoder {
	return func(tokens []string) []string {
		for _, d := range decoders {
			tokens = d(tokens)
		}
		return tokens
	}
}
