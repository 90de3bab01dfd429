"""Records what transformers computes and generates with lm-micro, for generate_test.go:
pip install torch transformers; python3 golden.py"""
import json

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

PATH = "../../../../testdata/models/lm-micro"
tok = AutoTokenizer.from_pretrained(PATH)
model = AutoModelForCausalLM.from_pretrained(PATH, dtype=torch.float32)
out = {"scores": [], "greedy": []}
PROMPTS = ["Should we add garlic or honey to the soup?", "Hello everyone!", "the dragon has beaten us again"]
RESPONSES = ["I would choose garlic.", "garlic lol", "Hello, it is nice to be here.", "😂😂", "That is a pity about the dragon."]
for p in PROMPTS:
    prompt = tok.apply_chat_template([{"role": "user", "content": p}], add_generation_prompt=True, tokenize=True, return_dict=False)
    for r in RESPONSES:
        ids = prompt + tok(r + "<|im_end|>").input_ids
        with torch.no_grad():
            logp = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        out["scores"].append({"prompt": p, "response": r, "logprob": sum(logp[i - 1, ids[i]].item() for i in range(len(prompt), len(ids))), "tokens": len(ids) - len(prompt)})
    for penalty in (1.0, 1.3):
        gen = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False, max_new_tokens=24, repetition_penalty=penalty, eos_token_id=2, pad_token_id=0)[0].tolist()[len(prompt):]
        out["greedy"].append({"prompt": p, "penalty": penalty, "text": tok.decode(gen, skip_special_tokens=True), "tokens": len(gen), "ended": gen[-1] == 2})
json.dump(out, open("golden.json", "w"), indent=1)
