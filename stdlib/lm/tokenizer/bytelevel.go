package tokenizer

// GPT-2 spells each byte as one printable character, so that a vocabulary can be written as JSON: bytes that print stand
// for themselves, the others follow from U+0100 on in order.
var (
	byteChar [256]rune
	charByte = map[rune]byte{}
)

func init() {
	next := rune(256)
	for b := range 256 {
		switch {
		case b >= '!' && b <= '~', b >= 0xa1 && b <= 0xac, b >= 0xae:
			byteChar[b] = rune(b)
		default:
			byteChar[b] = next
			next++
		}
		charByte[byteChar[b]] = byte(b)
	}
}

// spelled returns the bytes that a token spelt in the byte alphabet stands for, and false when a character of it is not
// in the alphabet.
func spelled(token string) (string, bool) {
	out := make([]byte, 0, len(token))
	for _, r := range token {
		b, ok := charByte[r]
		if !ok {
			return "", false
		}
		out = append(out, b)
	}
	return string(out), true
}
