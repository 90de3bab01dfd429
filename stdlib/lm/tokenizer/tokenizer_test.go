package tokenizer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"banter/stdlib/lm"
	"banter/stdlib/lm/gguf"
)

const micro = "../../../testdata/models/lm-micro"

func openMicro(t testing.TB, path string) *Tokenizer {
	t.Helper()
	m, err := lm.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	tok, err := Open(m)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func encode(t testing.TB, tok *Tokenizer, text string) []int {
	t.Helper()
	ids, err := tok.Encode(text, false)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestGGUFAndJSONAgree(t *testing.T) {
	a, b := openMicro(t, micro), openMicro(t, micro+"/lm-micro-f16.gguf")
	for _, s := range corpus(t)[:2000] {
		x, y := encode(t, a, s), encode(t, b, s)
		if !slices.Equal(x, y) {
			t.Fatalf("%q: %v from JSON, %v from GGUF", s, x, y)
		}
		if a.Decode(x, false) != b.Decode(y, false) || a.Decode(x, true) != b.Decode(y, true) {
			t.Fatalf("%q decodes differently", s)
		}
	}
}

func readGGUF(t *testing.T, path string) *Tokenizer {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := FromGGUF(f)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// TestSentencePieceGGUF holds SentencePiece BPE from GGUF against the sentencepiece library.
func TestSentencePieceGGUF(t *testing.T) {
	tok := readGGUF(t, "testdata/sentencepiece.gguf")
	data, err := os.ReadFile("testdata/sentencepiece.json")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	strs := slices.DeleteFunc(corpus(t), func(s string) bool {
		return strings.Contains(s, "<unk>") || strings.Contains(s, "<s>") || strings.Contains(s, "</s>") || strings.Contains(s, "\x00")
	})
	if len(want) < 50 || len(want) != (len(strs)+99)/100 {
		t.Fatalf("%d chunks for %d strings", len(want), len(strs))
	}
	for i, w := range want {
		h := sha256.New()
		for _, s := range strs[100*i : min(100*i+100, len(strs))] {
			ids, err := tok.Encode(s, true)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(h, "%s\n", strings.Trim(fmt.Sprint(ids), "[]"))
			if got := tok.Decode(ids, true); got != strings.ReplaceAll(s, spaceMark, " ") {
				t.Errorf("%q comes back as %q", s, got)
			}
		}
		if got := hex.EncodeToString(h.Sum(nil))[:16]; got != w {
			t.Errorf("strings %d to %d differ", 100*i, 100*i+99)
		}
	}
}

// TestLlamaCppVectors runs llama.cpp's own test vectors for GPT-2.
func TestLlamaCppVectors(t *testing.T) {
	base := "../../../../shared/data/lm/ggml-vocab-gpt-2.gguf"
	if _, err := os.Stat(base); err != nil {
		t.Skip("the shared vocabulary is not here:", err)
	}
	tok := readGGUF(t, base)
	in, err := os.ReadFile(base + ".inp")
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.ReadFile(base + ".out")
	if err != nil {
		t.Fatal(err)
	}
	texts := strings.Split(strings.TrimSuffix(string(in), "\n__ggml_vocab_test__\n"), "\n__ggml_vocab_test__\n")
	wants := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	if len(texts) != len(wants) || len(texts) < 20 {
		t.Fatalf("%d texts, %d answers", len(texts), len(wants))
	}
	for i, text := range texts {
		if got := strings.Trim(fmt.Sprint(encode(t, tok, text)), "[]"); got != strings.TrimSpace(wants[i]) {
			t.Errorf("%q: %s, want %s", text, got, wants[i])
		}
	}
}

func TestEncodeSpans(t *testing.T) {
	tok := openMicro(t, micro)
	text := "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nhello there<|im_end|>\n"
	from := strings.Index(text, "hello")
	to := strings.LastIndex(text, "\n")
	ids, span, err := tok.EncodeSpans(text, [][2]int{{from, to}})
	if err != nil {
		t.Fatal(err)
	}
	var inside []int
	for i, s := range span {
		if s == 0 {
			inside = append(inside, ids[i])
		}
	}
	if got := tok.Decode(inside, false); got != "hello there<|im_end|>" {
		t.Errorf("inside the span: %q", got)
	}
	if !slices.Equal(ids, encode(t, tok, text)) {
		t.Error("the ids are not those of the whole text")
	}
	if _, _, err := tok.EncodeSpans("potion", [][2]int{{0, 2}}); err == nil || !strings.Contains(err.Error(), "lies across byte 2") {
		t.Errorf("a span through the middle of a token: %v", err)
	}
	for _, bad := range [][][2]int{{{-1, 2}}, {{2, 1}}, {{0, 100}}, {{0, 3}, {2, 4}}} {
		if _, _, err := tok.EncodeSpans("potion", bad); err == nil {
			t.Errorf("spans %v were taken", bad)
		}
	}
}

func TestFindSpecial(t *testing.T) {
	tok := openMicro(t, micro)
	if token, ok := tok.FindSpecial("innocent <|im_end|>\n<|im_start|>system"); !ok || token != "<|im_end|>" {
		t.Errorf("found %q, %v", token, ok)
	}
	if token, ok := tok.FindSpecial("a <|im_ b |im_end|>"); ok {
		t.Errorf("found %q where there is none", token)
	}
}

func TestLossyAsRust(t *testing.T) {
	// The first rows are table 3-8 of the Unicode standard, the rest are from String::from_utf8_lossy's documentation and tests.
	for in, want := range map[string]string{
		"\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64": "\uFFFD\uFFFD\uFFFD\x62\uFFFD\x63\uFFFD\uFFFD\x64",
		"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41":             strings.Repeat("\uFFFD", 8) + "\x41",
		"Hello \xF0\x90\x80World":                          "Hello \uFFFDWorld",
		"\xF5foo\xF5\x80bar":                               "\uFFFDfoo\uFFFD\uFFFDbar",
		"\xED\xA0\x80foo\xED\xBF\xBFbar":                   "\uFFFD\uFFFD\uFFFDfoo\uFFFD\uFFFD\uFFFDbar",
		"\xF4foo\xF4\x80bar\xF4\xBFbaz":                    "\uFFFDfoo\uFFFDbar\uFFFD\uFFFDbaz",
	} {
		if got := lossy([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	tok := openMicro(t, micro)
	if got := tok.Decode(encode(t, tok, "a\xffb"), false); got != "a\uFFFDb" {
		t.Errorf("a broken byte comes back as %q", got)
	}
}

func TestBadTokenizersAreRefused(t *testing.T) {
	const model = `"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}`
	if _, err := FromJSON([]byte("{" + model + "}")); err != nil {
		t.Fatal(err)
	}
	for bad, want := range map[string]string{
		`[]`: "array", `{}`: "missing",
		`{"model":{"type":"WordPiece"}}`:                                                                                           "WordPiece",
		`{"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}}`:                                                                "not in the vocabulary",
		`{"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}}`:                                                                    "id -1",
		`{"model":{"type":"BPE","vocab":{"a":99999999999},"merges":[]}}`:                                                           "id 99999999999",
		`{"model":{"type":"BPE","vocab":{"a":0},"merges":[],"dropout":0.1}}`:                                                       "dropout",
		`{"model":{"type":"BPE","vocab":{"a":0},"merges":[],"unk_token":"?"}}`:                                                     "unk_token",
		`{"model":{"type":"Unigram","vocab":[["a",0]],"unk_id":5}}`:                                                                "unk_id",
		`{` + model + `,"normalizer":{"type":"Precompiled"}}`:                                                                      "Precompiled",
		`{` + model + `,"pre_tokenizer":{"type":"BertPreTokenizer"}}`:                                                              "BertPreTokenizer",
		`{` + model + `,"pre_tokenizer":{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated"}}`:                           "not supported",
		`{` + model + `,"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"ByteLevel"},{"type":"Digits"}]}}`:             "not the last",
		`{` + model + `,"post_processor":{"type":"RobertaProcessing"}}`:                                                            "RobertaProcessing",
		`{` + model + `,"decoder":{"type":"WordPiece"}}`:                                                                           "WordPiece",
		`{` + model + `,"added_tokens":[{"id":7,"content":"a"}]}`:                                                                  "in the vocabulary",
		`{` + model + `,"normalizer":` + strings.Repeat(`{"type":"Sequence","normalizers":[`, 20) + strings.Repeat(`]}`, 20) + `}`: "deeply",
	} {
		if _, err := FromJSON([]byte(bad)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.90s: got %v, want %q in it", bad, err, want)
		}
	}
}

// TestLongInputsAreQuick would take hours if any stage were quadratic.
func TestLongInputsAreQuick(t *testing.T) {
	const n = 1 << 17
	for _, name := range []string{"gpt2", "qwen2", "llama3", "tekken", "llama2", "unigram"} {
		tok := load(t, "testdata/"+name+".json.gz")
		for _, unit := range []string{"a", " ", "\n", "<"} {
			text := strings.Repeat(unit, n/len(unit))
			ids := encode(t, tok, text)
			if len(ids) == 0 {
				t.Errorf("%s: nothing for %q", name, unit)
			}
		}
	}
}

func FuzzEncode(f *testing.F) {
	for _, s := range []string{"hello", "<|im_start|>", "a\xff\xfe", "👨‍👩‍👧‍👦", "  \n\n x", strings.Repeat("ab ", 100)} {
		f.Add(s)
	}
	var toks []*Tokenizer
	for _, name := range []string{"gpt2", "llama3", "llama2", "unigram-bytes", "tekken"} {
		toks = append(toks, load(f, "testdata/"+name+".json.gz"))
	}
	f.Fuzz(func(t *testing.T, s string) {
		for i, tok := range toks {
			ids, err := tok.Encode(s, false)
			if err != nil {
				t.Fatal(err)
			}
			if got := tok.Decode(ids, false); i < 2 && got != lossy([]byte(s)) {
				t.Fatalf("%q comes back as %q", s, got)
			}
		}
	})
}

func FuzzFromJSON(f *testing.F) {
	for _, name := range []string{"qwen2", "llama2", "unigram"} {
		t := load(f, "testdata/"+name+".json.gz")
		if t.Size() == 0 {
			f.Fatal("empty")
		}
	}
	f.Add([]byte(`{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]},"decoder":{"type":"Fuse"}}`))
	f.Add([]byte(`{"model":{"type":"Unigram","vocab":[["a",-1],["b",-2]],"unk_id":0},"normalizer":{"type":"Prepend","prepend":"x"}}`))
	f.Add([]byte(`{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"pre_tokenizer":{"type":"Split","pattern":{"Regex":"a+"},"behavior":"Isolated"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.Contains(data, []byte("Regex")) && len(data) > 400 {
			t.Skip() // a hostile pattern may take as long as regexTimeout
		}
		tok, err := FromJSON(data)
		if err != nil {
			return
		}
		if ids, err := tok.Encode("ab a\n", true); err == nil {
			tok.Decode(ids, true)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	text := strings.Join(corpus(b)[:2000], "\n")
	plain, err := os.ReadFile("testdata/train.txt")
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"gpt2", "qwen2", "llama3", "tekken", "llama2", "unigram"} {
		tok := load(b, "testdata/"+name+".json.gz")
		for kind, text := range map[string]string{"plain": string(plain), "wild": text} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					if _, err := tok.Encode(text, false); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
