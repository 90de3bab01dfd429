"""Makes bert.gguf and bert.json: a BERT of random weights, and the mean-pooled vectors that transformers gives for some texts.

Needs torch, transformers and gguf: python bert.py
"""

import json
import os

import gguf
import numpy
import torch
from transformers import BertConfig, BertModel, BertTokenizer

here = os.path.dirname(os.path.abspath(__file__))
letters = "abcdefghijklmnopqrstuvwxyz"
vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + c for c in letters)]
vocabulary += ["the", "soup", "dragon", "is", "burning", "back", "##ing", "?", "!", "."]
layers, width, inner, heads, positions = 2, 32, 64, 2, 48

with open(os.path.join(here, "vocab.txt"), "w") as f:
    f.write("\n".join(vocabulary) + "\n")
tokenizer = BertTokenizer(f.name)
os.remove(f.name)
torch.manual_seed(1)
config = BertConfig(vocab_size=len(vocabulary), hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
                    intermediate_size=inner, max_position_embeddings=positions)
model = BertModel(config, add_pooling_layer=False).eval()
with torch.no_grad():
    for name, p in model.named_parameters():
        if "LayerNorm.weight" not in name:
            p.copy_(torch.randn_like(p) * 0.3)

w = gguf.GGUFWriter(os.path.join(here, "bert.gguf"), "bert")
w.add_context_length(positions)
w.add_embedding_length(width)
w.add_block_count(layers)
w.add_feed_forward_length(inner)
w.add_head_count(heads)
w.add_layer_norm_eps(config.layer_norm_eps)
w.add_causal_attention(False)
w.add_pooling_type(gguf.PoolingType.MEAN)
w.add_token_type_count(2)
w.add_tokenizer_model("bert")
w.add_tokenizer_pre("default")


def piece(token):  # llama.cpp marks where words begin, BERT where they go on
    if token.startswith("["):
        return token
    return token[2:] if token.startswith("##") else "\u2581" + token


w.add_token_list([piece(t) for t in vocabulary])
w.add_token_types([3 if t.startswith("[") else 1 for t in vocabulary])
w.add_bos_token_id(2)
w.add_eos_token_id(3)
w.add_unk_token_id(1)
w.add_sep_token_id(3)
w.add_pad_token_id(0)
w.add_mask_token_id(4)
weights = model.state_dict()


def put(name, of):
    w.add_tensor(name, weights[of].numpy().astype(numpy.float32))


put("token_embd.weight", "embeddings.word_embeddings.weight")
put("position_embd.weight", "embeddings.position_embeddings.weight")
put("token_types.weight", "embeddings.token_type_embeddings.weight")
for kind in ("weight", "bias"):
    put("token_embd_norm." + kind, "embeddings.LayerNorm." + kind)
    for i in range(layers):
        for name, of in {"attn_q": "attention.self.query", "attn_k": "attention.self.key", "attn_v": "attention.self.value",
                         "attn_output": "attention.output.dense", "attn_output_norm": "attention.output.LayerNorm",
                         "ffn_up": "intermediate.dense", "ffn_down": "output.dense", "layer_output_norm": "output.LayerNorm"}.items():
            put(f"blk.{i}.{name}.{kind}", f"encoder.layer.{i}.{of}.{kind}")
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()

texts = ["the soup is burning!", "the dragon is back", "The dragon, is it back?", "what is the soup", "a", "burning dragons " * 20]
vectors = []
for text in texts:
    with torch.no_grad():
        hidden = model(**tokenizer(text, return_tensors="pt", truncation=True, max_length=positions)).last_hidden_state[0]
    mean = hidden.mean(0)
    vectors.append([round(x, 6) for x in (mean / mean.norm()).tolist()])
with open(os.path.join(here, "bert.json"), "w") as f:
    json.dump([{"text": t, "vector": v} for t, v in zip(texts, vectors)], f)
    f.write("\n")
