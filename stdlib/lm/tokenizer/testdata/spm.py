"""Trains a SentencePiece BPE model, stores it as GGUF metadata and records what sentencepiece itself makes of the corpus:
pip install sentencepiece gguf tokenizers; python3 spm.py"""

import hashlib
import io
import json

import gguf
import sentencepiece as spm

import golden

model = io.BytesIO()
spm.SentencePieceTrainer.train(sentence_iterator=iter(golden.TEXT), model_writer=model, model_type="bpe", vocab_size=900, byte_fallback=True,
                               normalization_rule_name="identity", remove_extra_whitespaces=False, character_coverage=0.985, minloglevel=2)
sp = spm.SentencePieceProcessor(model_proto=model.getvalue())
w = gguf.GGUFWriter("sentencepiece.gguf", "llama")
kind = lambda i: 3 if sp.is_control(i) else 2 if sp.is_unknown(i) else 6 if sp.is_byte(i) else 1
n = sp.get_piece_size()
w.add_tokenizer_model("llama")
w.add_token_list([sp.id_to_piece(i) for i in range(n)])
w.add_token_scores([sp.get_score(i) for i in range(n)])
w.add_token_types([kind(i) for i in range(n)])
w.add_bos_token_id(sp.bos_id())
w.add_eos_token_id(sp.eos_id())
w.add_unk_token_id(sp.unk_id())
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()

strings = [s for s in golden.corpus() if not any(x in s for x in ("<unk>", "<s>", "</s>", "\0"))]
chunks = []
for at in range(0, len(strings), 100):
    h = hashlib.sha256()
    for s in strings[at:at + 100]:
        h.update((" ".join(map(str, [sp.bos_id()] + sp.encode(s))) + "\n").encode())
    chunks.append(h.hexdigest()[:16])
json.dump(chunks, open("sentencepiece.json", "w"), indent=0)
