"""Trains a small tokenizer per model family and records what Hugging Face's tokenizers library makes of a fixed corpus,
for golden_test.go: pip install tokenizers; python3 golden.py [SHARED_TOKENIZER.json...]

The corpus is not stored: corpus() here and in golden_test.go make the same 10,000 strings from pieces.json."""
import gzip
import hashlib
import json
import os
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

PIECES = json.load(open("pieces.json"))
MASK = (1 << 64) - 1


class SplitMix:
    def __init__(self, seed):
        self.s = seed

    def below(self, n):
        self.s = (self.s + 0x9E3779B97F4A7C15) & MASK
        z = self.s
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return (z ^ (z >> 31)) % n


def corpus():
    r, out, kinds = SplitMix(2026), [], list(PIECES.values())
    for _ in range(10000):
        s = []
        for _ in range(1 + r.below(20)):
            k = r.below(len(kinds) + 1)
            if k == len(kinds):
                c = r.below(0x110000 - 0x800)
                s.append(chr(c if c < 0xD800 else c + 0x800))
            else:
                s.append(kinds[k][r.below(len(kinds[k]))])
        out.append("".join(s))
    return out


TEXT = [l.strip() for l in open("train.txt", encoding="utf-8") if l.strip()]
CHATML = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
TAIL = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" + TAIL
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|" + TAIL
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
          r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level(pre, normalizer=None, **model):
    t = Tokenizer(models.BPE(**model))
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer = pre
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=CHATML, show_progress=False))
    return t


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), behavior, invert), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def sentencepiece(t, kind):
    if kind == "llama2":
        t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    else:
        scheme = "first" if kind == "mistral" else "always"
        t.pre_tokenizer = pre_tokenizers.Metaspace("▁", scheme, split=kind == "unigram")
        t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]) \
            if kind == "mistral" else decoders.Metaspace("▁", scheme)
    return t


def sp_bpe(kind):
    t = sentencepiece(Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True)), kind)
    special = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)]
    t.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=1000, special_tokens=special, show_progress=False, limit_alphabet=120))
    d = json.loads(t.to_str())
    d["added_tokens"] = d["added_tokens"][:3]
    t = Tokenizer.from_str(json.dumps(d))
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return t


def unigram(byte_fallback):
    t = sentencepiece(Tokenizer(models.Unigram()), "unigram")
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("``", '"')])
    special = ["<unk>", "<s>", "</s>"] + (["<0x%02X>" % b for b in range(256)] if byte_fallback else [])
    t.train_from_iterator(TEXT, trainers.UnigramTrainer(vocab_size=900, special_tokens=special, unk_token="<unk>", show_progress=False))
    d = json.loads(t.to_str())
    d["added_tokens"] = d["added_tokens"][:3]
    d["model"]["byte_fallback"] = byte_fallback
    return Tokenizer.from_str(json.dumps(d))


def llama3():
    t = byte_level(split(LLAMA3), ignore_merges=True)
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False),
                                            processors.TemplateProcessing(single="<|endoftext|> $A <|im_end|>", special_tokens=[("<|endoftext|>", 0), ("<|im_end|>", 2)])])
    return t


def added():
    t = byte_level(split(QWEN2), normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()]))
    t.add_special_tokens([AddedToken("<left>", lstrip=True, normalized=False), AddedToken("<right>", rstrip=True, normalized=False),
                          AddedToken("<both>", lstrip=True, rstrip=True, normalized=False)])
    t.add_tokens([AddedToken("KEKW", single_word=True, normalized=False), AddedToken("PogChamp", normalized=True), AddedToken("Pog", normalized=True),
                  AddedToken("é!", normalized=True), AddedToken("two words", normalized=False, lstrip=True)])
    return t


MADE = {
    "gpt2": lambda: byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "gpt2-prefix": lambda: byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "llama3": llama3,
    "qwen2": lambda: byte_level(split(QWEN2), normalizers.NFC()),
    "smollm2": lambda: byte_level(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])),
    "tekken": lambda: byte_level(split(TEKKEN)),
    "merged": lambda: byte_level(split(r"\p{N}+|\s", "merged_with_next")),
    "previous": lambda: byte_level(split(r"\p{P}+", "merged_with_previous")),
    "inverted": lambda: byte_level(split(GPT2, "removed", True)),
    "llama2": lambda: sp_bpe("llama2"),
    "mistral": lambda: sp_bpe("mistral"),
    "unigram": lambda: unigram(False),
    "unigram-bytes": lambda: unigram(True),
    "added": added,
}


def record(t, strings):
    chunks = []
    for at in range(0, len(strings), 100):
        h = hashlib.sha256()
        for s in strings[at:at + 100]:
            ids = t.encode(s).ids
            h.update((" ".join(map(str, ids)) + "\n" + t.decode(ids, skip_special_tokens=False) + "\n" + t.decode(ids) + "\n").encode())
        chunks.append(h.hexdigest()[:16])
    return chunks


def classes():
    """Which characters the library's patterns take for letters, numbers and spaces, and its Digits for digits."""
    points = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    out = {}
    for name, pre in [(p, pre_tokenizers.Split(Regex(p), "removed")) for p in (r"\p{L}", r"\p{N}", r"\s")] + [("digits", None)]:
        if pre is None:
            digits = pre_tokenizers.Digits(individual_digits=True)
            hit = [c for c in points if len(digits.pre_tokenize_str("a" + chr(c) + "a")) == 3]
        else:
            hit = []
            for i in range(0, len(points), 2000):
                part = points[i:i + 2000]
                kept = {ord(c) for piece, _ in pre.pre_tokenize_str("".join(map(chr, part))) for c in piece}
                hit += [c for c in part if c not in kept]
        ranges = []
        for c in hit:
            if ranges and ranges[-1][1] == c - 1:
                ranges[-1][1] = c
            else:
                ranges.append([c, c])
        out[name] = ranges
    json.dump(out, open("classes.json", "w"), separators=(",", ":"))


def main():
    classes()
    strings = corpus()
    golden = {"corpus": hashlib.sha256("\0".join(strings).encode()).hexdigest()}
    for name, make in MADE.items():
        path = name + ".json.gz"
        if not os.path.exists(path):
            with gzip.GzipFile(path, "wb", mtime=0) as f:
                f.write(make().to_str().encode())
        golden[path] = record(Tokenizer.from_str(gzip.open(path).read().decode()), strings)
    for path in ["../../../../testdata/models/lm-micro/tokenizer.json"] + sys.argv[1:]:
        golden[os.path.basename(os.path.dirname(path)) + "/" + os.path.basename(path)] = record(Tokenizer.from_file(path), strings)
    json.dump(golden, open("golden.json", "w"), indent=0)


if __name__ == "__main__":
    main()
