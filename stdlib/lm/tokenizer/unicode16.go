package tokenizer

import (
	"sort"
	"unicode"
)

// newer is a range of characters that Unicode has had since version 15.1 or 16.0, and an older character of the same
// category that stands in for them. Go's tables are of version 15.0; the Oniguruma library, by which Hugging Face's
// tokenizers match patterns, is at 16.0.
type newer struct{ from, to, as rune }

// The stand-ins.
const (
	otherLetter = 0x01BB // Lo
	upperLetter = 0x0186 // Lu
	lowerLetter = 0x0254 // Ll
	digit       = 0x0F20 // N
	mark        = 0x0F71 // M
	punctuation = 0x0F14 // P
)

var newerCharacters = []newer{
	{0x897, 0x897, mark}, {0x1B4E, 0x1B4F, punctuation}, {0x1B7F, 0x1B7F, punctuation}, {0x1C89, 0x1C89, upperLetter},
	{0x1C8A, 0x1C8A, lowerLetter}, {0xA7CB, 0xA7CC, upperLetter}, {0xA7CD, 0xA7CD, lowerLetter},
	{0xA7DA, 0xA7DA, upperLetter}, {0xA7DB, 0xA7DB, lowerLetter}, {0xA7DC, 0xA7DC, upperLetter},
	{0x105C0, 0x105F3, otherLetter}, {0x10D40, 0x10D49, digit}, {0x10D4A, 0x10D4F, otherLetter},
	{0x10D50, 0x10D65, upperLetter}, {0x10D69, 0x10D6D, mark}, {0x10D6E, 0x10D6E, punctuation},
	{0x10D6F, 0x10D6F, otherLetter}, {0x10D70, 0x10D85, lowerLetter}, {0x10EC2, 0x10EC4, otherLetter},
	{0x10EFC, 0x10EFC, mark}, {0x11380, 0x11389, otherLetter}, {0x1138B, 0x1138B, otherLetter},
	{0x1138E, 0x1138E, otherLetter}, {0x11390, 0x113B5, otherLetter}, {0x113B7, 0x113B7, otherLetter},
	{0x113B8, 0x113C0, mark}, {0x113C2, 0x113C2, mark}, {0x113C5, 0x113C5, mark}, {0x113C7, 0x113CA, mark},
	{0x113CC, 0x113D0, mark}, {0x113D1, 0x113D1, otherLetter}, {0x113D2, 0x113D2, mark},
	{0x113D3, 0x113D3, otherLetter}, {0x113D4, 0x113D5, punctuation}, {0x113D7, 0x113D8, punctuation},
	{0x113E1, 0x113E2, mark}, {0x116D0, 0x116E3, digit}, {0x11BC0, 0x11BE0, otherLetter},
	{0x11BE1, 0x11BE1, punctuation}, {0x11BF0, 0x11BF9, digit}, {0x11F5A, 0x11F5A, mark},
	{0x13460, 0x143FA, otherLetter}, {0x16100, 0x1611D, otherLetter}, {0x1611E, 0x1612F, mark},
	{0x16130, 0x16139, digit}, {0x16D40, 0x16D6C, otherLetter}, {0x16D6D, 0x16D6F, punctuation},
	{0x16D70, 0x16D79, digit}, {0x18CFF, 0x18CFF, otherLetter}, {0x1CCF0, 0x1CCF9, digit},
	{0x1E5D0, 0x1E5ED, otherLetter}, {0x1E5EE, 0x1E5EF, mark}, {0x1E5F0, 0x1E5F0, otherLetter},
	{0x1E5F1, 0x1E5FA, digit}, {0x1E5FF, 0x1E5FF, punctuation}, {0x2EBF0, 0x2EE5D, otherLetter},
}

// standIn returns the character that stands in for r, r itself for all but the newest.
func standIn(r rune) rune {
	if r < newerCharacters[0].from {
		return r
	}
	i := sort.Search(len(newerCharacters), func(i int) bool { return newerCharacters[i].to >= r })
	if i < len(newerCharacters) && newerCharacters[i].from <= r {
		return newerCharacters[i].as
	}
	return r
}

// isDigit is Rust's char::is_numeric, which is at Unicode 17 and cuts digits out of text.
func isDigit(r rune) bool {
	return classOf(r) == number || r >= 0x11DE0 && r <= 0x11DE9 || r >= 0x16FF4 && r <= 0x16FF6
}

// lowerOf is unicode.ToLower at Unicode 17.
func lowerOf(r rune) rune {
	switch {
	case r == 0xA7CB:
		return 0x264
	case r == 0xA7DC:
		return 0x19B
	case r == 0x1C89, r == 0xA7CC, r == 0xA7CE, r == 0xA7D2, r == 0xA7D4, r == 0xA7DA:
		return r + 1
	case r >= 0x10D50 && r <= 0x10D65:
		return r + 0x20
	case r >= 0x16EA0 && r <= 0x16EB8:
		return r + 0x1B
	}
	return unicode.ToLower(r)
}
