"""One measurement of torch + transformers + peft: python torch_lora.py FOLDER STEPS RANK

FOLDER holds the model and rows.json. The last line printed is JSON."""

import json
import os
import resource
import statistics
import sys
import time

import peft
import torch
import transformers
from peft import LoraConfig, get_peft_model



def peak():
    """The most memory that this process has held, in bytes. Linux counts in rusage what its parent held too."""
    try:
        with open("/proc/self/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:")) * 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


folder, steps, rank = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.manual_seed(1)
model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
model.config.use_cache = False
model = get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM", target_modules=[
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]))
model.train()
with open(os.path.join(folder, "rows.json")) as f:
    rows = json.load(f)
ids, labels = (torch.tensor([r[key] for r in rows]) for key in ("input_ids", "labels"))
trainable = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trainable, lr=1e-4, weight_decay=0.0)
seconds, first, processor = [], None, 0.0
for step in range(steps):
    start = time.perf_counter()
    loss = model(input_ids=ids, labels=labels).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trainable, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    value = loss.item()
    if step == 0:
        first, processor = value, time.process_time()
    else:
        seconds.append(time.perf_counter() - start)
print(json.dumps({
    "tokens_per_s": ids.numel() / statistics.median(seconds),
    "peak_rss_bytes": peak(),
    "first_loss": first,
    "cpu_s_per_step": (time.process_time() - processor) / len(seconds),
    "versions": f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}, {torch.get_num_threads()} threads",
}))
