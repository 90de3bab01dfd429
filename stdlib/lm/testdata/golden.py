"""Makes quant.json and rope.json, the expected values of quant_test.go and rope_test.go, from independent
implementations: pip install gguf transformers torch numpy; python3 golden.py"""
import base64
import json

import gguf
import numpy as np
import torch
from gguf.quants import dequantize, quantize
from transformers import LlamaConfig, SmolLM3Config
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

b64 = lambda a: base64.b64encode(a.tobytes()).decode()
rng = np.random.default_rng(7)

quant = []
for name, half_at in [("Q8_0", [0]), ("Q4_0", [0]), ("Q4_K", [0, 2]), ("Q5_K", [0, 2]), ("Q6_K", [208])]:
    kind = gguf.GGMLQuantizationType[name]
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (4 * 256 // elements, size), dtype=np.uint8)
    for at in half_at:  # the scales are halves: keep them finite and of a usual size
        blocks[:, at:at + 2] = (rng.standard_normal(len(blocks)) * 0.01).astype("<f2").view(np.uint8).reshape(-1, 2)
    quant.append({"type": name, "blocks": b64(blocks), "values": b64(dequantize(blocks.reshape(-1), kind).astype("<f4"))})
half = np.arange(65536, dtype=np.uint16)
values = np.concatenate([rng.standard_normal(1000) * 10.0 ** rng.integers(-9, 6, 1000), [0.0, -0.0, 65504, 65519.9, 65520, 1e-8, 2 ** -25, 2 ** -24 * 1.5]]).astype("<f4")
q8 = (rng.standard_normal(256) * 3).astype("<f4")
made = {"input": b64(values), "half": b64(values.astype("<f2")), "bfloat": b64(torch.tensor(values).bfloat16().view(torch.int16).numpy()),
        "q8_input": b64(q8), "q8_0": b64(quantize(q8, gguf.GGMLQuantizationType.Q8_0))}
json.dump({"read": quant, "write": made}, open("quant.json", "w"), indent=1)

rope = []
base = {"hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 16, "num_hidden_layers": 2, "vocab_size": 32, "max_position_embeddings": 4096}
for theta, params, length in [
    (10000.0, None, 100),
    (500000.0, {"rope_type": "linear", "factor": 4.0}, 100),
    (10000.0, {"rope_type": "dynamic", "factor": 2.0}, 100),
    (10000.0, {"rope_type": "dynamic", "factor": 2.0}, 10000),
    (500000.0, {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 1024}, 100),
    (1000000.0, {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}, 100),
    (1000000.0, {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024, "attention_factor": 0.7, "beta_fast": 16, "beta_slow": 2}, 100),
    (1000000.0, {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 512, "mscale": 0.7, "mscale_all_dim": 1.2}, 100),
]:
    config = dict(base, model_type="llama", rope_theta=theta, **({"rope_scaling": params} if params else {}))
    emb = LlamaRotaryEmbedding(LlamaConfig(**{k: v for k, v in config.items() if k != "model_type"}))
    emb(torch.zeros(1, 1), torch.arange(length)[None])
    rope.append({"config": config, "length": length, "frequencies": [float(x) for x in emb.inv_freq], "amplitude": float(emb.attention_scaling)})
json.dump(rope, open("rope.json", "w"), indent=1)
