"""Makes peft/, a LoRA adapter as PEFT itself writes it, for a llama of the shape in adapter_test.go:
pip install peft transformers torch; python3 golden.py"""
import os

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

torch.manual_seed(3)
base = LlamaForCausalLM(LlamaConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                                    head_dim=4, vocab_size=40, max_position_embeddings=64))
base.name_or_path = "tiny"
model = get_peft_model(base, LoraConfig(r=2, lora_alpha=6, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM"))
for name, p in model.named_parameters():
    if "lora_" in name:
        torch.nn.init.normal_(p, 0, 0.1)
model.save_pretrained("peft")
os.remove("peft/README.md")
with torch.no_grad():
    for name, m in model.named_modules():
        if name.endswith("layers.1.self_attn.q_proj"):
            x = torch.arange(16, dtype=torch.float32)[None] / 16
            print((m(x) - m.base_layer(x)).tolist())
