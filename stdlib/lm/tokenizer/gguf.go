package tokenizer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"banter/stdlib/lm/gguf"
)

// The kinds of token in tokenizer.ggml.token_type.
const (
	kindNormal  = 1
	kindUnknown = 2
	kindControl = 3
	kindUser    = 4
)

// ggufPatterns gives the cutters for the values of tokenizer.ggml.pre that belong to the supported families.
var ggufPatterns = map[string][]cutter{
	"gpt-2":     {cutFind(findGPT2)},
	"llama-bpe": {cutFind(finders[patternLlama3])}, "llama3": {cutFind(finders[patternLlama3])}, "llama-v3": {cutFind(finders[patternLlama3])}, "smaug-bpe": {cutFind(finders[patternLlama3])},
	"qwen2":  {cutFind(finders[patternQwen2])},
	"smollm": {cutDigits(true), cutFind(findGPT2)},
}

// FromGGUF reads the tokenizer in a GGUF file's metadata: byte-level BPE ("gpt2") or SentencePiece BPE ("llama").
func FromGGUF(f *gguf.File) (*Tokenizer, error) {
	kind, ok := f.String("tokenizer.ggml.model")
	if !ok {
		return nil, errors.New("the file has no tokenizer.ggml.model")
	}
	tokens, ok := f.Metadata["tokenizer.ggml.tokens"].([]string)
	if !ok || len(tokens) > maxID {
		return nil, errors.New("the file has no usable tokenizer.ggml.tokens")
	}
	kinds, _ := f.Metadata["tokenizer.ggml.token_type"].([]int32)
	if kinds != nil && len(kinds) != len(tokens) {
		return nil, fmt.Errorf("%d token types for %d tokens", len(kinds), len(tokens))
	}
	t := &Tokenizer{ids: map[string]int{}, special: map[int]bool{}, added: map[int]bool{}}
	var added []addedToken
	for id, token := range tokens {
		if _, twice := t.ids[token]; twice {
			return nil, fmt.Errorf("token %q is there twice", token)
		}
		if err := t.setToken(id, token); err != nil {
			return nil, err
		}
		if kinds == nil {
			continue
		}
		switch kinds[id] {
		case kindControl, kindUnknown:
			added = append(added, addedToken{ID: id, Content: token, Special: true})
		case kindUser:
			added = append(added, addedToken{ID: id, Content: token})
		}
	}
	var err error
	addBOS := false
	switch kind {
	case "gpt2":
		addBOS, err = t.readGGUFByteLevel(f)
	case "llama":
		addBOS, err = true, t.readGGUFSentencePiece(f, tokens, kinds)
	default:
		return nil, fmt.Errorf("tokenizer.ggml.model %q is not supported (gpt2 and llama are)", kind)
	}
	if err != nil {
		return nil, err
	}
	if err := t.setAdded(added); err != nil {
		return nil, err
	}
	mark := func(addKey, idKey string, otherwise bool) ([]int, error) {
		add, ok := f.Bool("tokenizer.ggml." + addKey)
		if !ok {
			add = otherwise
		}
		if !add {
			return nil, nil
		}
		id, ok := f.Int("tokenizer.ggml." + idKey)
		if !ok || id < 0 || id >= len(tokens) {
			return nil, fmt.Errorf("tokenizer.ggml.%s is not a token", idKey)
		}
		return []int{id}, nil
	}
	if t.before, err = mark("add_bos_token", "bos_token_id", addBOS); err != nil {
		return nil, err
	}
	if t.after, err = mark("add_eos_token", "eos_token_id", false); err != nil {
		return nil, err
	}
	return t, nil
}

// readGGUFByteLevel reads a byte-level BPE; it says whether a text begins with a mark unless the file says otherwise.
func (t *Tokenizer) readGGUFByteLevel(f *gguf.File) (addBOS bool, err error) {
	pre, ok := f.String("tokenizer.ggml.pre")
	if !ok || pre == "default" { // llama.cpp warns and guesses here
		return false, errors.New("tokenizer.ggml.pre does not say how words are cut (convert the model again with a current llama.cpp)")
	}
	cut, ok := ggufPatterns[pre]
	if !ok {
		return false, fmt.Errorf("tokenizer.ggml.pre %q is not supported", pre)
	}
	t.byteLevel, t.cut, t.decode = true, cut, decodeByteLevel
	lines, ok := f.Metadata["tokenizer.ggml.merges"].([]string)
	if !ok {
		return false, errors.New("the file has no tokenizer.ggml.merges")
	}
	pairs := make([][2]string, len(lines))
	for i, line := range lines {
		left, right, ok := strings.Cut(line, " ")
		if !ok {
			return false, fmt.Errorf("merge %d, %q, is not two tokens", i, line)
		}
		pairs[i] = [2]string{left, right}
	}
	m, err := t.newBPE(pairs)
	if err != nil {
		return false, err
	}
	llama3 := slices.Contains([]string{"llama-bpe", "llama3", "llama-v3"}, pre)
	m.ignoreMerges = llama3
	t.model = m
	return llama3, nil
}

// spaceMark is how SentencePiece writes a space.
const spaceMark = "▁"

// readGGUFSentencePiece reads a BPE whose merges are not written down: two tokens merge where their text together is a
// token, the one of the highest score first.
func (t *Tokenizer) readGGUFSentencePiece(f *gguf.File, tokens []string, kinds []int32) error {
	scores, ok := f.Metadata["tokenizer.ggml.scores"].([]float32)
	if !ok || len(scores) != len(tokens) {
		return errors.New("the file has no usable tokenizer.ggml.scores")
	}
	order := make([]int, len(tokens))
	for i := range order {
		if scores[i] != scores[i] {
			return fmt.Errorf("token %d has no score", i)
		}
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return 0
	})
	rank := make([]int32, len(tokens)) // equal scores share a rank: then the leftmost pair merges first
	for i, id := range order {
		rank[id] = int32(i)
		if i > 0 && scores[id] == scores[order[i-1]] {
			rank[id] = rank[order[i-1]]
		}
	}
	m := &bpe{words: t.ids, unknown: noID, merges: map[uint64]merge{}, byteFallback: true}
	for both, token := range tokens {
		if kinds != nil && kinds[both] != kindNormal && kinds[both] != kindUser {
			continue
		}
		if len(token) > 1<<10 {
			return fmt.Errorf("token %d has %d bytes", both, len(token))
		}
		for i := range token {
			left, ok1 := t.ids[token[:i]]
			right, ok2 := t.ids[token[i:]]
			if i > 0 && ok1 && ok2 {
				m.merges[pairKey(left, right)] = merge{rank[both], int32(both)}
			}
		}
	}
	for b := range 256 {
		m.byteIDs[b] = noID
		if id, ok := t.ids[byteName(byte(b))]; ok {
			m.byteIDs[b] = id
		}
	}
	if id, ok := f.Int("tokenizer.ggml.unknown_token_id"); ok && id >= 0 && id < len(tokens) {
		m.unknown = id
	}
	t.model = m
	prefix, ok := f.Bool("tokenizer.ggml.add_space_prefix")
	if !ok {
		prefix = true
	}
	t.normalize = func(s string) string {
		if prefix && s != "" {
			s = " " + s
		}
		return strings.ReplaceAll(s, " ", spaceMark)
	}
	strip := 0
	if prefix {
		strip = 1
	}
	t.decode = decodeSequence([]decoder{decodeReplace(spaceMark, " "), decodeByteFallback, decodeFuse, decodeStrip(" ", strip, 0)})
	return nil
}
