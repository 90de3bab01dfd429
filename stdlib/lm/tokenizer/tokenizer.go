// Package tokenizer turns text into a model's token ids and back, exactly as Hugging Face's tokenizers library does. A
// tokenizer.json, or the metadata of a GGUF file, flows in; what it asks for and this package does not know is refused.
//
// Text passes five stages: added tokens ("<|im_end|>") are cut out; what lies between is normalized; a pre-tokenizer
// cuts it into words; the model (BPE or unigram) turns each word into tokens; a post-processor puts marks such as <s>
// around the whole. A Tokenizer is safe for concurrent use, and its time is linear in the text but for a logarithm.
package tokenizer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"banter/internal/problem"
	"banter/stdlib/lm"
)

// Tokenizer is one model's tokenizer.
type Tokenizer struct {
	tokens []string       // by id; "" where there is none
	ids    map[string]int // by token, as the file spells it

	raw        *matcher // added tokens that are looked for in the text as it is
	normalized *matcher // added tokens that are looked for after normalizing
	special    map[int]bool
	added      map[int]bool // all added tokens

	normalize normalizer // nil: text stays as it is
	cut       []cutter   // pre-tokenizers, one after the other
	byteLevel bool       // words are bytes, and tokens are spelt in GPT-2's byte alphabet
	model     model
	before    []int // put before a text by Encode
	after     []int
	decode    decoder

	ggufName, ggufPre string // tokenizer.ggml.model and pre; empty where GGUF has none, and then
	ggufReason        string // why
	ggufPrefix        bool   // GGUF's add_space_prefix
}

// model turns one word into token ids.
type model interface {
	encode(ids []int, word string) []int
}

// normalizer rewrites a piece of text.
type normalizer func(string) string

// Open reads the tokenizer of an opened model: tokenizer.json of a folder, or a GGUF file's metadata.
func Open(m *lm.Model) (*Tokenizer, error) {
	if m.GGUF != nil {
		t, err := FromGGUF(m.GGUF)
		if err != nil {
			return nil, &problem.Error{Op: "read tokenizer", Path: m.Path, Err: err, Fix: "use the model's Hugging Face folder"}
		}
		return t, nil
	}
	path := filepath.Join(m.Dir, "tokenizer.json")
	data, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = errors.New("the file is not there")
		}
		return nil, &problem.Error{Op: "read tokenizer", Path: path, Err: err, Fix: "fetch tokenizer.json beside the model; tokenizer.model is not read"}
	}
	t, err := FromJSON(data)
	if err != nil {
		return nil, &problem.Error{Op: "read tokenizer", Path: path, Err: err}
	}
	if len(t.tokens) > m.Config.Vocab {
		return nil, &problem.Error{Op: "read tokenizer", Path: path,
			Err: fmt.Errorf("it has ids up to %d, the model has a vocabulary of %d", len(t.tokens)-1, m.Config.Vocab), Fix: "use the tokenizer that came with the model"}
	}
	return t, nil
}

// Encode returns the ids of text. With marks, what the post-processor adds (such as <s>) is there too; a text that a chat
// template has rendered brings its own, and wants none. Bytes that are no UTF-8 count as U+FFFD. Added tokens are found
// wherever their spelling stands, so check text of strangers with [Tokenizer.FindSpecial] first.
func (t *Tokenizer) Encode(text string, marks bool) ([]int, error) {
	if !utf8.ValidString(text) {
		text = lossy([]byte(text))
	}
	return t.encode(text, marks, nil)
}

// encode encodes valid UTF-8. Within the literal ranges the spelling of a special token stands for itself.
func (t *Tokenizer) encode(text string, marks bool, literal [][2]int) ([]int, error) {
	ids := make([]int, 0, len(text)/3+4)
	if marks {
		ids = append(ids, t.before...)
	}
	var err error
	t.raw.split(text, literal, func(piece string, id, at int) {
		if id >= 0 {
			ids = append(ids, id)
			return
		}
		length := len(piece)
		if t.normalize != nil {
			piece = t.normalize(piece)
		}
		first := at == 0
		t.normalized.split(piece, within(literal, at, at+length), func(piece string, id, at int) {
			switch {
			case id >= 0:
				ids = append(ids, id)
			case err == nil:
				ids, err = t.encodePiece(ids, piece, first && at == 0)
			}
		})
	})
	if err != nil {
		return nil, err
	}
	if marks {
		ids = append(ids, t.after...)
	}
	return ids, nil
}

// encodePiece encodes text without added tokens; first says whether the whole text begins here.
func (t *Tokenizer) encodePiece(ids []int, piece string, first bool) ([]int, error) {
	words := []string{piece}
	for _, cut := range t.cut {
		var next []string
		for i, w := range words {
			var err error
			if next, err = cut(next, w, first && i == 0); err != nil {
				return nil, fmt.Errorf("encode: %w", err)
			}
		}
		words = next
	}
	for _, w := range words {
		if w != "" {
			ids = t.model.encode(ids, w)
		}
	}
	return ids, nil
}

// EncodeSpans encodes text and says, for each token, in which of the byte ranges it lies: its index, or -1 for none. The
// ranges are in order and do not overlap. A token that lies across a range's edge is an error, because it would be
// neither one thing nor the other. In the literal ranges, which are text from outside, the spelling of a special token is
// encoded letter by letter.
func (t *Tokenizer) EncodeSpans(text string, spans [][2]int, literal ...[2]int) (ids, span []int, err error) {
	if !utf8.ValidString(text) {
		return nil, nil, errors.New("encode: the text is not UTF-8")
	}
	if ids, err = t.encode(text, false, literal); err != nil {
		return nil, nil, err
	}
	span = make([]int, len(ids))
	for i := range span {
		span[i] = -1
	}
	// The text up to an edge must give the same tokens alone as it does before the rest: then the edge lies between two.
	edge := func(at int) (int, error) {
		part, err := t.encode(text[:at], false, literal)
		if err != nil {
			return 0, err
		}
		if len(part) > len(ids) {
			return 0, fmt.Errorf("encode: a token lies across byte %d of the text", at)
		}
		for i, id := range part {
			if ids[i] != id {
				return 0, fmt.Errorf("encode: the token %q lies across byte %d of the text", t.Token(ids[i]), at)
			}
		}
		return len(part), nil
	}
	for i, s := range spans {
		if s[0] < 0 || s[1] < s[0] || s[1] > len(text) || i > 0 && s[0] < spans[i-1][1] {
			return nil, nil, fmt.Errorf("encode: range %v of a text of %d bytes", s, len(text))
		}
		from, err := edge(s[0])
		if err != nil {
			return nil, nil, err
		}
		to, err := edge(s[1])
		if err != nil {
			return nil, nil, err
		}
		for k := from; k < to; k++ {
			span[k] = i
		}
	}
	return ids, span, nil
}

// Decode returns the text of ids. Ids that the tokenizer does not have are left out; special tokens are too when
// skipSpecial is set. Bytes that are no UTF-8 come out as U+FFFD.
func (t *Tokenizer) Decode(ids []int, skipSpecial bool) string {
	tokens := make([]string, 0, len(ids))
	for _, id := range ids {
		if id < 0 || id >= len(t.tokens) || !t.has(id) || skipSpecial && t.special[id] {
			continue
		}
		tokens = append(tokens, t.tokens[id])
	}
	if t.decode == nil {
		return strings.Join(tokens, " ")
	}
	return strings.Join(t.decode(tokens), "")
}

// has says whether id names a token; an empty spelling counts only when the file has it.
func (t *Tokenizer) has(id int) bool {
	if t.tokens[id] != "" {
		return true
	}
	empty, ok := t.ids[""]
	return ok && empty == id
}

// Size is one more than the largest id.
func (t *Tokenizer) Size() int { return len(t.tokens) }

// ID returns the id of a token, spelt as the file spells it.
func (t *Tokenizer) ID(token string) (int, bool) {
	id, ok := t.ids[token]
	return id, ok
}

// Token returns the spelling of a token, "" where there is none.
func (t *Tokenizer) Token(id int) string {
	if id < 0 || id >= len(t.tokens) {
		return ""
	}
	return t.tokens[id]
}

// IsSpecial says whether id is a special token: one that stands for a role in the format and not for text.
func (t *Tokenizer) IsSpecial(id int) bool { return t.special[id] }

// FindSpecial returns a special token whose spelling stands in text. Text from outside that holds one would forge the
// format: end its own turn and begin another's.
func (t *Tokenizer) FindSpecial(text string) (token string, found bool) {
	for _, m := range []*matcher{t.raw, t.normalized} {
		m.split(text, nil, func(_ string, id, _ int) {
			if id >= 0 && t.special[id] && !found {
				token, found = t.tokens[id], true
			}
		})
	}
	return token, found
}

// lossy reads bytes as UTF-8 and puts U+FFFD for each longest prefix of a character that does not go on as it must, as
// the Unicode standard recommends (chapter 3.9) and Rust's from_utf8_lossy does.
func lossy(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out strings.Builder
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r != utf8.RuneError || size > 1 {
			out.Write(b[:size])
			b = b[size:]
			continue
		}
		out.WriteRune(utf8.RuneError)
		b = b[brokenPrefix(b):]
	}
	return out.String()
}

// brokenPrefix returns the length of the longest prefix of b, at least 1, that could begin a character.
func brokenPrefix(b []byte) int {
	c := b[0]
	need, low, high := 0, byte(0x80), byte(0xbf)
	switch {
	case c >= 0xc2 && c <= 0xdf:
		need = 1
	case c == 0xe0:
		need, low = 2, 0xa0
	case c == 0xed:
		need, high = 2, 0x9f
	case c >= 0xe1 && c <= 0xef:
		need = 2
	case c == 0xf0:
		need, low = 3, 0x90
	case c >= 0xf1 && c <= 0xf3:
		need = 3
	case c == 0xf4:
		need, high = 3, 0x8f
	}
	n := 1
	for n <= need && n < len(b) && b[n] >= low && b[n] <= high {
		n++
		low, high = 0x80, 0xbf
	}
	return n
}
