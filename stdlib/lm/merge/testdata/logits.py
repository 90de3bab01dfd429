"""Says how far the logits of a merged folder are from those of the base with the adapter in PEFT, for merge_test.go:
python3 logits.py BASE ADAPTER MERGED"""
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base, adapter, merged = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(merged)
text = tokenizer.apply_chat_template([{"role": "user", "content": "Should we add garlic or honey?"}], add_generation_prompt=True, tokenize=False)
ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
load = lambda path: AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
with torch.no_grad():
    print((load(merged)(ids).logits - PeftModel.from_pretrained(load(base), adapter)(ids).logits).abs().max().item())
