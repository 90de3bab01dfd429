package tokenizer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"banter/stdlib/lm/gguf"
)

// kindUnused and kindByte are further kinds of token in tokenizer.ggml.token_type.
const (
	kindUnused = 5
	kindByte   = 6
)

// GGUF returns the tokenizer as GGUF metadata, padded to the model's vocabulary. What llama.cpp has no name for is refused:
// it would cut texts into other tokens. Two differences of llama.cpp's remain: it does not compose characters (NFC), and it
// puts a space before a text that begins with one, where Metaspace does not.
func (t *Tokenizer) GGUF(vocabulary int) ([]gguf.KeyValue, error) {
	m, ok := t.model.(*bpe)
	if !ok || t.ggufName == "" {
		return nil, fmt.Errorf("this tokenizer cannot be said in GGUF: %s (convert the merged Hugging Face folder with llama.cpp's own script)", cmp.Or(t.ggufReason, "it is no BPE"))
	}
	if len(t.tokens) > vocabulary {
		return nil, fmt.Errorf("the tokenizer has %d tokens, the model %d", len(t.tokens), vocabulary)
	}
	tokens, kinds := make([]string, vocabulary), make([]int32, vocabulary)
	for id := range tokens {
		tokens[id], kinds[id] = fmt.Sprintf("[PAD%d]", id), kindUnused
		if id >= len(t.tokens) || !t.has(id) {
			continue
		}
		tokens[id], kinds[id] = t.tokens[id], kindNormal
		if t.added[id] {
			kinds[id] = kindUser
		}
		if t.special[id] {
			kinds[id] = kindControl
		}
	}
	all := []gguf.KeyValue{{Key: "tokenizer.ggml.model", Value: t.ggufName}, {Key: "tokenizer.ggml.pre", Value: t.ggufPre},
		{Key: "tokenizer.ggml.tokens", Value: tokens}}
	type pair struct {
		merge
		left, right int
	}
	merges := make([]pair, 0, len(m.merges))
	for key, g := range m.merges {
		merges = append(merges, pair{g, int(key >> 32), int(uint32(key))})
	}
	slices.SortFunc(merges, func(a, b pair) int { return cmp.Compare(a.rank, b.rank) })
	if t.ggufName == "gpt2" {
		lines := make([]string, len(merges))
		for i, g := range merges {
			lines[i] = t.tokens[g.left] + " " + t.tokens[g.right]
		}
		all = append(all, gguf.KeyValue{Key: "tokenizer.ggml.merges", Value: lines})
	} else {
		// SentencePiece merges whatever makes the token of the highest score: that of the earliest merge.
		scores := make([]float32, vocabulary)
		for i := range scores {
			scores[i] = -1e6 // merged last, if at all
		}
		for rank, g := range slices.Backward(merges) {
			scores[g.id] = -float32(rank)
		}
		for b := range 256 {
			if id := m.byteIDs[b]; id != noID {
				kinds[id], scores[id] = kindByte, 0
			}
		}
		if m.unknown != noID {
			kinds[m.unknown], scores[m.unknown] = kindUnknown, 0
		}
		all = append(all, gguf.KeyValue{Key: "tokenizer.ggml.scores", Value: scores}, gguf.KeyValue{Key: "tokenizer.ggml.add_space_prefix", Value: t.ggufPrefix})
	}
	all = append(all, gguf.KeyValue{Key: "tokenizer.ggml.token_type", Value: kinds})
	for _, mark := range []struct {
		name string
		ids  []int
	}{{"bos", t.before}, {"eos", t.after}} {
		if len(mark.ids) > 1 {
			return nil, fmt.Errorf("this tokenizer cannot be said in GGUF: it puts %d marks on one side of a text", len(mark.ids))
		}
		all = append(all, gguf.KeyValue{Key: "tokenizer.ggml.add_" + mark.name + "_token", Value: len(mark.ids) == 1})
		if len(mark.ids) == 1 {
			all = append(all, gguf.KeyValue{Key: "tokenizer.ggml." + mark.name + "_token_id", Value: uint32(mark.ids[0])})
		}
	}
	return all, nil
}

// nameForGGUF finds out what llama.cpp calls a tokenizer that cuts texts as f does.
func (t *Tokenizer) nameForGGUF(f *file, m *bpe) (name, pre string, prefix bool, err error) {
	no := func(why string) (string, string, bool, error) { return "", "", false, errors.New(why) }
	var cut []*component
	if f.PreTokenizer != nil {
		if cut, err = flatten(f.PreTokenizer, 0); err != nil {
			return "", "", false, err
		}
	}
	is := func(p *bool) bool { return p == nil || *p } // all of these are true where nothing is said
	if t.byteLevel {
		if f.Normalizer != nil && f.Normalizer.Type != "NFC" {
			return no("llama.cpp does not normalize texts as " + f.Normalizer.Type)
		}
		last := cut[len(cut)-1]
		if is(last.AddPrefixSpace) {
			return no("llama.cpp puts no space before a text here")
		}
		words := is(last.UseRegex)
		split := func(pattern string) bool {
			return len(cut) == 2 && !words && cut[0].Type == "Split" && cut[0].Pattern != nil && cut[0].Pattern.Regex != nil && *cut[0].Pattern.Regex == pattern && !cut[0].Invert
		}
		switch {
		case len(cut) == 1 && words && !m.ignoreMerges:
			pre = "gpt-2"
		case len(cut) == 2 && words && cut[0].Type == "Digits" && cut[0].Individual && !m.ignoreMerges:
			pre = "smollm"
		case split(patternLlama3) && m.ignoreMerges:
			pre = "llama-bpe"
		case split(patternLlama3):
			pre = "smaug-bpe"
		case split(patternQwen2) && !m.ignoreMerges:
			pre = "qwen2"
		default:
			return no("llama.cpp has no name for how it cuts words")
		}
		return "gpt2", pre, false, nil
	}
	if !m.byteFallback {
		return no("it is no byte-level BPE and has no byte fallback")
	}
	// SentencePiece: all spaces become ▁, with one more before the text or not.
	var steps []component
	switch {
	case f.Normalizer == nil:
	case f.Normalizer.Type == "Sequence":
		steps = f.Normalizer.Normalizers
	default:
		steps = []component{*f.Normalizer}
	}
	replaced := false
	for _, s := range steps {
		switch {
		case s.Type == "Prepend" && s.Prepend == spaceMark && !replaced:
			prefix = true
		case s.Type == "Replace" && s.Pattern != nil && s.Pattern.String != nil && *s.Pattern.String == " " && s.Content == spaceMark:
			replaced = true
		default:
			return no("llama.cpp does not normalize texts as " + s.Type)
		}
	}
	switch {
	case len(cut) == 0 && replaced:
	case len(cut) == 1 && cut[0].Type == "Metaspace" && !replaced && !is(cut[0].SplitWords):
		prefix = cut[0].PrependScheme == "first" || cut[0].PrependScheme == "always" || cut[0].PrependScheme == "" && is(cut[0].AddPrefixSpace)
	default:
		return no("llama.cpp has no name for how it cuts words")
	}
	return "llama", "default", prefix, nil
}
