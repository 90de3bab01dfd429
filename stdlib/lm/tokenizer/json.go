package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// maxID bounds token ids, and with them what a hostile file can make us allocate.
const maxID = 1 << 24

// file is tokenizer.json.
type file struct {
	Added         []addedToken    `json:"added_tokens"`
	Normalizer    *component      `json:"normalizer"`
	PreTokenizer  *component      `json:"pre_tokenizer"`
	PostProcessor *component      `json:"post_processor"`
	Decoder       *component      `json:"decoder"`
	Model         json.RawMessage `json:"model"`
}

// component is one stage's description: a type and, by type, some of the rest.
type component struct {
	Type string `json:"type"`

	Normalizers   []component `json:"normalizers"`   // Sequence
	PreTokenizers []component `json:"pretokenizers"` // Sequence
	Processors    []component `json:"processors"`    // Sequence
	Decoders      []component `json:"decoders"`      // Sequence

	Pattern  *pattern        `json:"pattern"` // Replace, Split
	Content  string          `json:"content"` // Replace, Strip of decoders
	Behavior json.RawMessage `json:"behavior"`
	Invert   bool            `json:"invert"`

	AddPrefixSpace *bool  `json:"add_prefix_space"` // ByteLevel, Metaspace
	UseRegex       *bool  `json:"use_regex"`        // ByteLevel
	Individual     bool   `json:"individual_digits"`
	Replacement    string `json:"replacement"`    // Metaspace
	PrependScheme  string `json:"prepend_scheme"` // Metaspace
	SplitWords     *bool  `json:"split"`          // Metaspace

	Prepend string `json:"prepend"`     // Prepend
	Left    bool   `json:"strip_left"`  // Strip of normalizers
	Right   bool   `json:"strip_right"` // Strip of normalizers
	Start   int    `json:"start"`       // Strip of decoders
	Stop    int    `json:"stop"`        // Strip of decoders

	Single        []templatePart           `json:"single"`         // TemplateProcessing
	SpecialTokens map[string]templateToken `json:"special_tokens"` // TemplateProcessing
}

type pattern struct {
	String *string
	Regex  *string
}

type templatePart struct {
	SpecialToken *struct {
		ID string `json:"id"`
	}
	Sequence *struct {
		ID string `json:"id"`
	}
}

type templateToken struct {
	IDs []int `json:"ids"`
}

// FromJSON reads a tokenizer.json.
func FromJSON(data []byte) (*Tokenizer, error) {
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	t := &Tokenizer{ids: map[string]int{}, special: map[int]bool{}, added: map[int]bool{}}
	if err := t.readPreTokenizer(f.PreTokenizer); err != nil {
		return nil, fmt.Errorf("pre_tokenizer: %w", err)
	}
	if err := t.readModel(f.Model); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	var err error
	if t.normalize, err = readNormalizer(f.Normalizer, 0); err != nil {
		return nil, fmt.Errorf("normalizer: %w", err)
	}
	if err := t.setAdded(f.Added); err != nil {
		return nil, fmt.Errorf("added_tokens: %w", err)
	}
	if err := t.readPostProcessor(f.PostProcessor, 0); err != nil {
		return nil, fmt.Errorf("post_processor: %w", err)
	}
	if t.decode, err = readDecoder(f.Decoder, 0); err != nil {
		return nil, fmt.Errorf("decoder: %w", err)
	}
	if m, ok := t.model.(*bpe); ok {
		if t.ggufName, t.ggufPre, t.ggufPrefix, err = t.nameForGGUF(&f, m); err != nil {
			t.ggufReason = err.Error()
		}
	}
	return t, nil
}

// setToken puts a token under its id.
func (t *Tokenizer) setToken(id int, token string) error {
	if id < 0 || id > maxID {
		return fmt.Errorf("token %q has the id %d", token, id)
	}
	for len(t.tokens) <= id {
		t.tokens = append(t.tokens, "")
	}
	t.tokens[id] = token
	t.ids[token] = id
	return nil
}

// setAdded takes the added tokens in.
func (t *Tokenizer) setAdded(tokens []addedToken) error {
	var raw, normalized []addedToken
	for _, a := range tokens {
		if id, ok := t.ids[a.Content]; ok && id != a.ID {
			return fmt.Errorf("%q has the id %d, but %d in the vocabulary", a.Content, a.ID, id)
		}
		if err := t.setToken(a.ID, a.Content); err != nil {
			return err
		}
		t.added[a.ID] = true
		if a.Special {
			t.special[a.ID] = true
		}
		if a.Normalized {
			normalized = append(normalized, a)
			if t.normalize != nil { // the library gives such a token back as it looks for it
				t.tokens[a.ID] = t.normalize(a.Content)
			}
		} else {
			raw = append(raw, a)
		}
	}
	t.raw = newMatcher(raw, func(s string) string { return s })
	t.normalized = newMatcher(normalized, func(s string) string {
		if t.normalize != nil {
			return t.normalize(s)
		}
		return s
	})
	return nil
}

// maxDepth bounds sequences within sequences.
const maxDepth = 8

func readNormalizer(c *component, depth int) (normalizer, error) {
	if c == nil {
		return nil, nil
	}
	if depth > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	switch c.Type {
	case "Sequence":
		var all []normalizer
		for i := range c.Normalizers {
			n, err := readNormalizer(&c.Normalizers[i], depth+1)
			if err != nil {
				return nil, err
			}
			all = append(all, n)
		}
		return func(s string) string {
			for _, n := range all {
				s = n(s)
			}
			return s
		}, nil
	case "NFC":
		return norm.NFC.String, nil
	case "NFD":
		return norm.NFD.String, nil
	case "NFKC":
		return norm.NFKC.String, nil
	case "NFKD":
		return norm.NFKD.String, nil
	case "Lowercase":
		return lowercase, nil
	case "Strip":
		return func(s string) string {
			if c.Left {
				s = strings.TrimLeftFunc(s, unicode.IsSpace)
			}
			if c.Right {
				s = strings.TrimRightFunc(s, unicode.IsSpace)
			}
			return s
		}, nil
	case "Prepend":
		return func(s string) string {
			if s == "" {
				return s
			}
			return c.Prepend + s
		}, nil
	case "Replace":
		if c.Pattern == nil || c.Pattern.String == nil || *c.Pattern.String == "" {
			return nil, errors.New("a Replace with a regular expression is not supported")
		}
		return func(s string) string { return strings.ReplaceAll(s, *c.Pattern.String, c.Content) }, nil
	}
	return nil, fmt.Errorf("type %q is not supported", c.Type)
}

// readPreTokenizer reads the pre-tokenizers into one list. ByteLevel must come last: what follows it would see GPT-2's
// byte alphabet, and no known model does that.
func (t *Tokenizer) readPreTokenizer(c *component) error {
	if c == nil {
		return nil
	}
	list, err := flatten(c, 0)
	if err != nil {
		return err
	}
	for i, p := range list {
		if t.byteLevel {
			return errors.New("a ByteLevel is not the last")
		}
		if err := t.readCutter(p); err != nil {
			return fmt.Errorf("number %d: %w", i+1, err)
		}
	}
	return nil
}

func flatten(c *component, depth int) ([]*component, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	if c.Type != "Sequence" {
		return []*component{c}, nil
	}
	var all []*component
	for i := range c.PreTokenizers {
		part, err := flatten(&c.PreTokenizers[i], depth+1)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
	}
	return all, nil
}

func (t *Tokenizer) readCutter(c *component) error {
	yes := func(p *bool) bool { return p == nil || *p }
	switch c.Type {
	case "ByteLevel":
		t.byteLevel = true
		if yes(c.AddPrefixSpace) {
			t.cut = append(t.cut, cutPrefix)
		}
		if yes(c.UseRegex) {
			t.cut = append(t.cut, cutFind(findGPT2))
		}
	case "Digits":
		t.cut = append(t.cut, cutDigits(c.Individual))
	case "Metaspace":
		scheme := c.PrependScheme
		if scheme == "" {
			scheme = "always"
			if !yes(c.AddPrefixSpace) {
				scheme = "never"
			}
		}
		if !slices.Contains([]string{"always", "first", "never"}, scheme) || c.Replacement == "" {
			return fmt.Errorf("a Metaspace with replacement %q and prepend_scheme %q is not supported", c.Replacement, scheme)
		}
		t.cut = append(t.cut, cutMetaspace(c.Replacement, scheme, yes(c.SplitWords)))
	case "Split":
		cut, err := readSplit(c)
		if err != nil {
			return err
		}
		t.cut = append(t.cut, cut)
	default:
		return fmt.Errorf("type %q is not supported", c.Type)
	}
	return nil
}

func readSplit(c *component) (cutter, error) {
	var behaviour string
	if err := json.Unmarshal(c.Behavior, &behaviour); err != nil {
		return nil, fmt.Errorf("a Split with behavior %s is not supported", c.Behavior)
	}
	switch {
	case c.Pattern == nil || c.Pattern.String == nil && c.Pattern.Regex == nil:
		return nil, errors.New("a Split without a pattern")
	case c.Pattern.String != nil:
		find := literal(*c.Pattern.String)
		return splitter(func(s string) ([]span, error) { return find.spans(s), nil }, behaviour, c.Invert)
	}
	if find, ok := finders[*c.Pattern.Regex]; ok {
		if behaviour == "Isolated" && !c.Invert || behaviour == "Removed" && c.Invert {
			return cutFind(find), nil // these patterns match everything, so both are the same
		}
		return splitter(func(s string) ([]span, error) { return find.spans(s), nil }, behaviour, c.Invert)
	}
	find, err := compileRegex(*c.Pattern.Regex)
	if err != nil {
		return nil, err
	}
	return splitter(find, behaviour, c.Invert)
}

// readPostProcessor reads which marks go around one text.
func (t *Tokenizer) readPostProcessor(c *component, depth int) error {
	if c == nil {
		return nil
	}
	if depth > maxDepth {
		return errors.New("nested too deeply")
	}
	switch c.Type {
	case "ByteLevel": // only changes offsets
		return nil
	case "Sequence":
		for i := range c.Processors {
			if err := t.readPostProcessor(&c.Processors[i], depth+1); err != nil {
				return err
			}
		}
		return nil
	case "TemplateProcessing":
		var before, after []int
		seen := false
		for _, part := range c.Single {
			switch {
			case part.Sequence != nil:
				if seen {
					return errors.New("the text is there twice")
				}
				seen = true
			case part.SpecialToken != nil:
				token, ok := c.SpecialTokens[part.SpecialToken.ID]
				if !ok {
					return fmt.Errorf("token %q is not among special_tokens", part.SpecialToken.ID)
				}
				for _, id := range token.IDs {
					if id < 0 || id > maxID {
						return fmt.Errorf("token %q has the id %d", part.SpecialToken.ID, id)
					}
				}
				if seen {
					after = append(after, token.IDs...)
				} else {
					before = append(before, token.IDs...)
				}
			}
		}
		if !seen {
			return errors.New("the template has no place for the text")
		}
		t.before = append(before, t.before...)
		t.after = append(t.after, after...)
		return nil
	}
	return fmt.Errorf("type %q is not supported", c.Type)
}

func readDecoder(c *component, depth int) (decoder, error) {
	if c == nil {
		return nil, nil
	}
	if depth > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	switch c.Type {
	case "ByteLevel":
		return decodeByteLevel, nil
	case "ByteFallback":
		return decodeByteFallback, nil
	case "Fuse":
		return decodeFuse, nil
	case "Replace":
		if c.Pattern == nil || c.Pattern.String == nil || *c.Pattern.String == "" {
			return nil, errors.New("a Replace with a regular expression is not supported")
		}
		return decodeReplace(*c.Pattern.String, c.Content), nil
	case "Strip":
		if c.Start < 0 || c.Start > 1<<10 || c.Stop < 0 || c.Stop > 1<<10 || c.Content == "" {
			return nil, fmt.Errorf("a Strip of %q %d and %d times is not supported", c.Content, c.Start, c.Stop)
		}
		return decodeStrip(c.Content, c.Start, c.Stop), nil
	case "Metaspace":
		if c.Replacement == "" {
			return nil, errors.New("a Metaspace without a replacement")
		}
		prepended := c.PrependScheme != "never" && (c.AddPrefixSpace == nil || *c.AddPrefixSpace)
		return decodeMetaspace(c.Replacement, prepended), nil
	case "Sequence":
		var all []decoder
		for i := range c.Decoders {
			d, err := readDecoder(&c.Decoders[i], depth+1)
			if err != nil {
				return nil, err
			}
			all = append(all, d)
		}
		return decodeSequence(all), nil
	}
	return nil, fmt.Errorf("type %q is not supported", c.Type)
}

// bpeFile is the model of a BPE tokenizer.json.
type bpeFile struct {
	Vocab         map[string]int    `json:"vocab"`
	Merges        []json.RawMessage `json:"merges"` // "a b", or since 2024 ["a", "b"]
	Unknown       *string           `json:"unk_token"`
	FuseUnknown   bool              `json:"fuse_unk"`
	ByteFallback  bool              `json:"byte_fallback"`
	IgnoreMerges  bool              `json:"ignore_merges"`
	Dropout       *float64          `json:"dropout"`
	SubwordPrefix *string           `json:"continuing_subword_prefix"`
	WordSuffix    *string           `json:"end_of_word_suffix"`
}

// unigramFile is the model of a unigram tokenizer.json.
type unigramFile struct {
	Vocab        [][2]json.RawMessage `json:"vocab"` // token, score
	Unknown      *int                 `json:"unk_id"`
	ByteFallback bool                 `json:"byte_fallback"`
}

func (t *Tokenizer) readModel(data json.RawMessage) error {
	var kind struct {
		Type   string          `json:"type"`
		Merges json.RawMessage `json:"merges"`
	}
	if len(data) == 0 {
		return errors.New("it is missing")
	}
	if err := json.Unmarshal(data, &kind); err != nil {
		return err
	}
	switch {
	case kind.Type == "BPE" || kind.Type == "" && kind.Merges != nil:
		var f bpeFile
		if err := json.Unmarshal(data, &f); err != nil {
			return err
		}
		return t.readBPE(f)
	case kind.Type == "Unigram":
		var f unigramFile
		if err := json.Unmarshal(data, &f); err != nil {
			return err
		}
		return t.readUnigram(f)
	}
	return fmt.Errorf("type %q is not supported", kind.Type)
}

func (t *Tokenizer) readBPE(f bpeFile) error {
	switch {
	case f.Dropout != nil && *f.Dropout != 0:
		return errors.New("dropout is not supported: it makes tokens random")
	case f.SubwordPrefix != nil && *f.SubwordPrefix != "":
		return errors.New("continuing_subword_prefix is not supported")
	case f.WordSuffix != nil && *f.WordSuffix != "":
		return errors.New("end_of_word_suffix is not supported")
	}
	names := make([]string, 0, len(f.Vocab))
	for token := range f.Vocab {
		names = append(names, token)
	}
	slices.Sort(names)
	for _, token := range names {
		if err := t.setToken(f.Vocab[token], token); err != nil {
			return err
		}
	}
	pairs := make([][2]string, len(f.Merges))
	for i, raw := range f.Merges {
		if bytes.HasPrefix(raw, []byte(`"`)) {
			var s string
			if err := json.Unmarshal(raw, &s); err != nil {
				return err
			}
			left, right, ok := strings.Cut(s, " ")
			if !ok || strings.Contains(right, " ") {
				return fmt.Errorf("merge %d, %q, is not two tokens", i, s)
			}
			pairs[i] = [2]string{left, right}
		} else if err := json.Unmarshal(raw, &pairs[i]); err != nil {
			return fmt.Errorf("merge %d: %w", i, err)
		}
	}
	m, err := t.newBPE(pairs)
	if err != nil {
		return err
	}
	m.fuseUnknown, m.byteFallback, m.ignoreMerges = f.FuseUnknown, f.ByteFallback, f.IgnoreMerges
	if f.Unknown != nil {
		id, ok := t.ids[*f.Unknown]
		if !ok {
			return fmt.Errorf("unk_token %q is not in the vocabulary", *f.Unknown)
		}
		m.unknown = id
	}
	t.model = m
	return nil
}

// newBPE builds the merge table over the tokens that are there already.
func (t *Tokenizer) newBPE(pairs [][2]string) (*bpe, error) {
	m := &bpe{byteLevel: t.byteLevel, words: t.ids, unknown: noID, merges: make(map[uint64]merge, len(pairs))}
	for rank, p := range pairs {
		left, ok1 := t.ids[p[0]]
		right, ok2 := t.ids[p[1]]
		both, ok3 := t.ids[p[0]+p[1]]
		if !ok1 || !ok2 || !ok3 {
			return nil, fmt.Errorf("merge %d, %q and %q, uses tokens that are not in the vocabulary", rank, p[0], p[1])
		}
		m.merges[pairKey(left, right)] = merge{int32(rank), int32(both)}
	}
	if t.byteLevel {
		m.words = make(map[string]int, len(t.ids))
		for token, id := range t.ids {
			if s, ok := spelled(token); ok {
				m.words[s] = id
			}
		}
	}
	for b := range 256 {
		name := byteName(byte(b))
		if t.byteLevel {
			name = string(byteChar[b])
		}
		m.byteIDs[b] = noID
		if id, ok := t.ids[name]; ok {
			m.byteIDs[b] = id
		}
	}
	return m, nil
}

func (t *Tokenizer) readUnigram(f unigramFile) error {
	if t.byteLevel {
		return errors.New("unigram with a ByteLevel pre-tokenizer is not supported")
	}
	tokens, scores := make([]string, len(f.Vocab)), make([]float64, len(f.Vocab))
	for id, entry := range f.Vocab {
		if err := errors.Join(json.Unmarshal(entry[0], &tokens[id]), json.Unmarshal(entry[1], &scores[id])); err != nil {
			return fmt.Errorf("token %d: %w", id, err)
		}
		if err := t.setToken(id, tokens[id]); err != nil {
			return err
		}
	}
	unknown := noID
	if f.Unknown != nil {
		unknown = *f.Unknown
		if unknown < 0 || unknown >= len(tokens) {
			return fmt.Errorf("unk_id is %d of %d tokens", unknown, len(tokens))
		}
	}
	m := newUnigram(tokens, scores, unknown)
	m.byteFallback = f.ByteFallback
	for b := range 256 {
		m.byteIDs[b] = noID
		if id, ok := t.ids[byteName(byte(b))]; ok {
			m.byteIDs[b] = id
		}
	}
	t.model = m
	return nil
}

// lowercase maps each character by itself, as Rust's char::to_lowercase does: the only one that becomes two is İ.
func lowercase(s string) string {
	return strings.ReplaceAll(strings.Map(func(r rune) rune {
		if r == 'İ' {
			return r
		}
		return lowerOf(r)
	}, s), "İ", "i\u0307")
}
