"""Makes the folders beside this file: small random models of each architecture with what PyTorch computes on them.

    python golden.py        (torch 2.15, transformers 5.23, peft 0.21)

Weights are stored as float16 and computed with in float64. Each folder holds a model (config.json, model.safetensors), a
PEFT adapter, and golden.safetensors: tokens and lengths of a batch, labels, logits after every token, losses, and the
gradients of the mean loss by the adapter's factors.
"""

import json
import os
import shutil
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config,
                          Qwen3ForCausalLM, SmolLM3Config, SmolLM3ForCausalLM)

here = os.path.dirname(os.path.abspath(__file__))
small = dict(hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8, vocab_size=48,
             max_position_embeddings=64, rms_norm_eps=1e-5, tie_word_embeddings=False, bos_token_id=0, eos_token_id=1, pad_token_id=None)


def rope(**scaling):
    return dict(rope_parameters=dict(dict(rope_theta=10000.0), **scaling))


every = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
models = {
    "llama": (LlamaConfig, LlamaForCausalLM, dict(rope(rope_type="default")), every, [23, 1, 9]),
    "llama-tied-llama3": (LlamaConfig, LlamaForCausalLM, dict(rope(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                          original_max_position_embeddings=16), tie_word_embeddings=True), ["q_proj", "v_proj"], [40, 7]),
    "llama-linear": (LlamaConfig, LlamaForCausalLM, dict(rope(rope_type="linear", factor=4.0)), ["gate_proj", "down_proj"], [30]),
    "llama-dynamic": (LlamaConfig, LlamaForCausalLM, dict(rope(rope_type="dynamic", factor=2.0), max_position_embeddings=16), ["k_proj", "o_proj"], [40]),
    "llama-yarn": (LlamaConfig, LlamaForCausalLM, dict(rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=32.0,
                   beta_slow=1.0)), ["q_proj", "up_proj"], [60]),
    "mistral": (MistralConfig, MistralForCausalLM, dict(rope(rope_type="default"), sliding_window=6), every, [30, 5]),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, dict(rope(rope_type="default", rope_theta=1000000.0), tie_word_embeddings=True), every, [12, 20]),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, dict(rope(rope_type="default", rope_theta=1000000.0), head_dim=12), every, [12, 20]),
    "smollm3": (SmolLM3Config, SmolLM3ForCausalLM, dict(rope(rope_type="default", rope_theta=50000.0), no_rope_layers=[1, 0], use_sliding_window=False),
                every, [25, 3]),
    # One case of many positions: 300 queries cross the blocks that attention is computed in.
    "long": (LlamaConfig, LlamaForCausalLM, dict(rope(rope_type="default"), num_hidden_layers=1, max_position_embeddings=512), every, [300]),
}


def make(name):
    config_class, model_class, extra, targets, lengths = models[name]
    torch.manual_seed(len(name))
    config = config_class(**dict(small, **extra))
    model = model_class(config).eval()
    with torch.no_grad():
        for key, p in model.named_parameters():
            if "norm" in key:
                p.copy_(1 + 0.3 * torch.randn_like(p))
            else:
                p.normal_(0, 0.35 if "proj" in key else 0.8)
    folder = os.path.join(here, name)
    shutil.rmtree(folder, ignore_errors=True)
    model.half().save_pretrained(folder)
    model = model_class.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()

    wrapped = get_peft_model(model, LoraConfig(r=2, lora_alpha=6, target_modules=targets, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM"))
    with torch.no_grad():
        for key, p in wrapped.named_parameters():
            if "lora_" in key:
                p.copy_((0.2 * torch.randn(p.shape)).float().to(p.dtype))
    wrapped.double()
    wrapped.save_pretrained(os.path.join(folder, "adapter"))
    path = os.path.join(folder, "adapter", "adapter_model.safetensors")
    save_file({k: v.float() for k, v in load_file(path).items()}, path, {"format": "pt"})

    def run(sequences):
        return [wrapped(input_ids=s[None], use_cache=False).logits[0] for s in sequences]

    tokens = torch.randint(0, config.vocab_size, (sum(lengths),))
    labels = torch.where(torch.rand(len(tokens)) < 0.5, tokens, torch.full_like(tokens, -100))
    sequences, marks = tokens.split(lengths), labels.split(lengths)
    golden = {"tokens": tokens.int(), "lengths": torch.tensor(lengths).int(), "labels": labels.int()}
    with wrapped.disable_adapter():
        with torch.no_grad():
            golden["base_logits"] = torch.cat(run(sequences)).float()
    logits = run(sequences)
    golden["logits"] = torch.cat(logits).detach().float()
    losses = [torch.nn.functional.cross_entropy(l[:-1], m[1:], reduction="none", ignore_index=-100) for l, m in zip(logits, marks)]
    golden["losses"] = torch.cat([torch.nn.functional.pad(l, (1, 0)) for l in losses]).detach().float()
    count = sum(int((m[1:] >= 0).sum()) for m in marks)
    (sum(l.sum() for l in losses) / count).backward()
    for key, p in wrapped.named_parameters():
        if "lora_" in key:
            golden["grad." + key.replace(".default", "").replace("base_model.model.", "")] = p.grad.float()
    if len(tokens) > 100:  # keep the file small: the last rows see all the others
        golden["base_logits"], golden["logits"] = golden["base_logits"][-20:].contiguous(), golden["logits"][-20:].contiguous()
    save_file(golden, os.path.join(folder, "golden.safetensors"))
    for extra_file in ["generation_config.json", "adapter/README.md"]:
        if os.path.exists(os.path.join(folder, extra_file)):
            os.remove(os.path.join(folder, extra_file))
    print(name, count)


for name in sys.argv[1:] or models:
    make(name)
