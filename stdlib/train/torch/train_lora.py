"""Trains a LoRA adapter on a plan: `python train_lora.py JOB.json`, or the same under torchrun with several processes.

JOB.json names a Hugging Face model, an adapter to begin with, the plan's rows as Parquet and the rows that each step
takes. What happens is said on standard output, one JSON object a line; all else that is printed goes to standard error.
SIGTERM, or the end of standard input, stops the run behind a checkpoint, from which the same job goes on.
"""

import json
import math
import os
import signal
import sys
import threading
import time
import traceback

OUT = os.dup(1)
os.dup2(2, 1)


def say(event, **fields):
    """Says one thing. A short line is written as a whole even where several processes share the pipe."""
    fields = {k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in fields.items()}
    os.write(OUT, (json.dumps({"event": event, **fields}) + "\n").encode())


def peak(device):
    """The most memory held, in bytes: of the card, or of this process where the system says."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    try:
        with open("/proc/self/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:")) * 1024
    except (OSError, StopIteration):
        return 0


class Group:
    """The processes of the run, of which this is one."""

    def __init__(self, device):
        self.rank, self.size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self.local = int(os.environ.get("LOCAL_RANK", 0))
        self.device = torch.device("cuda", self.local) if device == "cuda" else torch.device("cpu")
        if device == "cuda":
            torch.cuda.set_device(self.device)
        if self.size > 1:
            torch.distributed.init_process_group("nccl" if device == "cuda" else "gloo")

    def mine(self, rows):
        """The rows of a batch that this process computes."""
        return rows[self.rank :: self.size]

    def add(self, tensor):
        """Adds a tensor up over all processes, in place."""
        if self.size > 1:
            torch.distributed.all_reduce(tensor)
        return tensor

    def any(self, flag):
        return flag if self.size == 1 else bool(self.add(torch.tensor([float(flag)], device=self.device)).item())

    def union(self, values):
        """The entries of all processes' dictionaries."""
        if self.size == 1:
            return values
        every = [None] * self.size
        torch.distributed.all_gather_object(every, values)
        return {k: v for d in every for k, v in d.items()}

    def close(self):
        if self.size > 1:
            torch.distributed.destroy_process_group()


class Stop:
    """Whether the run was asked to stop. Before the first step there is nothing to keep: then a process that is alone stops at
    once. Several agree on it behind a step, or one would wait for the others for ever."""

    def __init__(self):
        self.asked = self.begun = False
        signal.signal(signal.SIGTERM, self.ask)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started the run hears it too, and decides
        if os.environ.get("LOCAL_RANK", "0") == "0":
            threading.Thread(target=self.watch, daemon=True).start()

    def ask(self, *_):
        self.asked = True
        if not self.begun and os.environ.get("WORLD_SIZE", "1") == "1":
            os._exit(0)

    def watch(self):
        while os.read(0, 1 << 12):
            pass
        self.ask()


class Plan:
    """Rows of tokens. Labels are -100 where nothing is learned; the first token of an example never is."""

    def __init__(self, path):
        columns = ["input_ids", "labels", "position_ids"]
        table = pyarrow.parquet.read_table(path, columns=columns)
        self.tokens, self.labels, self.positions = ([numpy.asarray(row.values, dtype=numpy.int64) for row in table.column(c)] for c in columns)
        for labels, positions in zip(self.labels, self.positions):
            labels[positions == 0] = -100
        self.learned = [int((row >= 0).sum()) for row in self.labels]

    def batch(self, rows, device):
        """Rows side by side, filled up to one length. Positions begin anew where an example or the filling does: the model
        keeps attention within each stretch of rising positions."""
        length = max(len(self.tokens[r]) for r in rows)
        tokens, labels = numpy.zeros((len(rows), length), numpy.int64), numpy.full((len(rows), length), -100, numpy.int64)
        positions = numpy.zeros((len(rows), length), numpy.int64)
        for i, r in enumerate(rows):
            n = len(self.tokens[r])
            tokens[i, :n], labels[i, :n], positions[i, :n] = self.tokens[r], self.labels[r], self.positions[r]
            positions[i, n:] = numpy.arange(length - n)
        return (torch.from_numpy(a).to(device) for a in (tokens, labels, positions))


class Trainer:
    chunk = 1024  # rows of logits that exist at a time

    def __init__(self, job, group):
        self.job, self.group = job, group
        precision = {"f32": torch.float32, "bf16": torch.bfloat16, "4bit": torch.bfloat16}[job["precision"]]
        how = {"dtype": precision}
        if job["precision"] == "4bit":
            how["quantization_config"] = transformers.BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16)
            how["device_map"] = {"": group.device}
        base = transformers.AutoModelForCausalLM.from_pretrained(job["model"], local_files_only=True, **how)
        if job["precision"] != "4bit":
            base.to(group.device)
        base.config.use_cache = False
        model = peft.PeftModel.from_pretrained(base, job["adapter"], is_trainable=True)
        if job["recompute"]:
            base.gradient_checkpointing_enable({"use_reentrant": False})
            base.enable_input_require_grads()
        model.train()
        self.model, self.decoder, self.head = model, base.get_decoder(), base.get_output_embeddings()
        self.names = sorted(n for n, p in model.named_parameters() if p.requires_grad)
        named = dict(model.named_parameters())
        self.params = [named[n] for n in self.names]
        self.optimizer = torch.optim.AdamW(self.params, lr=0.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=job["weight_decay"])
        self.plan = Plan(job["plan"])
        self.holdout = Plan(job["holdout"]) if job["holdout"] else None
        with open(job["schedule"]) as f:
            self.steps = [json.loads(line) for line in f]
        self.state = {"run": job["identity"], "step": 0, "history": [], "looks": [], "best_loss": None, "best_step": 0, "since_best": 0}
        self.best = None

    def losses(self, plan, rows):
        """The cross-entropy of the rows' learned tokens, and which of the rows each is in."""
        tokens, labels, positions = plan.batch(rows, self.group.device)
        hidden = self.decoder(input_ids=tokens, position_ids=positions, use_cache=False).last_hidden_state
        learned = labels[:, 1:] >= 0
        hidden, targets = hidden[:, :-1][learned], labels[:, 1:][learned]

        def loss(h, t):
            return torch.nn.functional.cross_entropy(self.head(h).float(), t, reduction="none")

        parts = []
        for i in range(0, len(targets), self.chunk):
            h, t = hidden[i : i + self.chunk], targets[i : i + self.chunk]
            many = len(targets) > self.chunk and torch.is_grad_enabled()
            parts.append(torch.utils.checkpoint.checkpoint(loss, h, t, use_reentrant=False) if many else loss(h, t))
        return torch.cat(parts), learned.nonzero()[:, 0]

    def step(self):
        """Takes the next step and returns its record."""
        began = time.perf_counter()
        s = self.steps[self.state["step"]]
        rows = [r for b in s["batches"] for r in b]
        record = {"step": self.state["step"] + 1, "lr": s["lr"], "tokens": sum(len(self.plan.tokens[r]) for r in rows),
                  "learned_tokens": sum(self.plan.learned[r] for r in rows)}
        total, by_row = torch.zeros(1, dtype=torch.float64, device=self.group.device), {}
        for p in self.params:
            p.grad = torch.zeros_like(p)
        for batch in s["batches"]:
            mine = self.group.mine(batch)
            if not mine:
                continue
            losses, where = self.losses(self.plan, mine)
            (losses.sum() / record["learned_tokens"]).backward()
            losses = losses.detach().double()
            total += losses.sum()
            for i, r in enumerate(mine):
                by_row[r] = losses[where == i].sum().item() / self.plan.learned[r]
        gradient = self.group.add(torch.cat([p.grad.reshape(-1) for p in self.params]))
        record["loss"] = self.group.add(total).item() / record["learned_tokens"]
        record["grad_norm"] = torch.linalg.vector_norm(gradient, dtype=torch.float64).item()
        if self.unsound(record):
            by_row = self.group.union(by_row)
            if self.group.rank == 0:
                # The worst rows are enough to name, and keep the line short.
                worst = sorted(by_row, key=lambda r: (math.isfinite(by_row[r]), -by_row[r] if math.isfinite(by_row[r]) else 0, r))[:5]
                say("unsound", **record, rows={str(r): str(by_row[r]) for r in worst})
            return None
        clip = self.job["clip_norm"]
        if clip > 0 and record["grad_norm"] > clip:
            gradient *= clip / record["grad_norm"]
        at = 0
        for p in self.params:
            p.grad.copy_(gradient[at : at + p.numel()].view_as(p))
            at += p.numel()
        for g in self.optimizer.param_groups:
            g["lr"] = s["lr"]
        self.optimizer.step()
        self.state["step"] += 1
        self.state["history"].append(record)
        if self.group.rank == 0:
            say("step", **record, seconds=time.perf_counter() - began)
        return record

    def unsound(self, record):
        """Whether the loss or the gradient is no number, or the loss jumps."""
        if not math.isfinite(record["loss"]) or not math.isfinite(record["grad_norm"]):
            return True
        recent = 20
        last = sorted(h["loss"] for h in self.state["history"][-recent:])
        return self.job["spike"] > 0 and len(last) == recent and record["loss"] > self.job["spike"] * max(last[recent // 2], 0.1)

    @property
    def enough(self):
        return 0 < self.job["early_stop"] <= self.state["since_best"]

    def look(self):
        """Computes the loss on the holdout and remembers the best adapter where that is asked for."""
        most, rows, batches = 2048, list(range(len(self.holdout.tokens))), [[]]
        for r in rows:
            if batches[-1] and sum(len(self.holdout.tokens[x]) for x in batches[-1]) + len(self.holdout.tokens[r]) > most:
                batches.append([])
            batches[-1].append(r)
        total = torch.zeros(1, dtype=torch.float64, device=self.group.device)
        with torch.no_grad():
            for batch in self.group.mine(batches):
                total += self.losses(self.holdout, batch)[0].double().sum()
        s, loss = self.state, self.group.add(total).item() / sum(self.holdout.learned)
        s["looks"].append({"step": s["step"], "loss": loss})
        if s["best_loss"] is None or loss < s["best_loss"]:
            s["best_loss"], s["best_step"], s["since_best"] = loss, s["step"], 0
            if self.job["early_stop"] > 0:
                self.best = [p.detach().cpu().clone() for p in self.params]
        else:
            s["since_best"] += 1
        if self.group.rank == 0:
            say("look", step=s["step"], loss=loss)

    def tensors(self):
        sets = {"adapter": self.params}
        for name in ("exp_avg", "exp_avg_sq"):
            sets[name] = [self.optimizer.state[p].get(name, torch.zeros_like(p)) for p in self.params]
        if self.best is not None:
            sets["best"] = self.best
        return {f"{kind}.{n}": t.detach().cpu().contiguous() for kind, ts in sets.items() for n, t in zip(self.names, ts)}

    def save(self):
        """Writes a checkpoint, which appears whole or not at all, and removes old ones."""
        folder = self.job["checkpoints"]
        if not folder or self.group.rank != 0:
            return
        path = os.path.join(folder, f"step-{self.state['step']:09d}.safetensors")
        safetensors.torch.save_file(self.tensors(), path + ".part", {"state": json.dumps(self.state)})
        with open(path + ".part", "rb+") as f:
            os.fsync(f.fileno())
        os.replace(path + ".part", path)
        for old in self.checkpoints()[: -self.job["keep"]]:
            os.remove(old)

    def checkpoints(self):
        folder = self.job["checkpoints"]
        return [os.path.join(folder, n) for n in sorted(os.listdir(folder)) if n.startswith("step-") and n.endswith(".safetensors")] if folder else []

    def resume(self):
        """Goes back to the newest whole checkpoint of this run. A damaged one is passed over."""
        for path in reversed(self.checkpoints()):
            try:
                with safetensors.safe_open(path, "pt") as f:
                    state = json.loads(f.metadata()["state"])
                    tensors = {k: f.get_tensor(k) for k in f.keys()}
            except Exception:
                continue
            if state["run"] != self.job["identity"]:
                raise ValueError(f"checkpoint {path} is of another run: options, base model or data differ")
            with torch.no_grad():
                for n, p in zip(self.names, self.params):
                    p.copy_(tensors["adapter." + n])
                    self.optimizer.state[p] = {"step": torch.tensor(float(state["step"])), **{
                        k: tensors[f"{k}.{n}"].to(self.group.device) for k in ("exp_avg", "exp_avg_sq")}}
            if any(k.startswith("best.") for k in tensors):
                self.best = [tensors["best." + n] for n in self.names]
            self.state = state
            return

    def finish(self, stopped):
        """Writes the adapter and the record of the run."""
        if self.group.rank != 0:
            return
        s = self.state
        if self.best is not None:
            with torch.no_grad():
                for p, b in zip(self.params, self.best):
                    p.copy_(b)
        os.makedirs(self.job["result"], exist_ok=True)
        self.model.save_pretrained(self.job["result"], save_embedding_layers=False)
        with open(os.path.join(self.job["result"], "result.json"), "w") as f:
            json.dump({"history": s["history"], "looks": s["looks"], "stopped": stopped,
                       "best_step": s["best_step"] if self.best is not None else s["step"]}, f)

    def run(self, stop):
        stop.begun = True
        self.resume()
        resumed = self.state["step"]
        if self.group.rank == 0:
            say("ready", resumed=resumed, threads=torch.get_num_threads())
        if self.holdout and not self.state["looks"]:
            self.look()
        every, saved = self.job["eval_every"], resumed
        while not self.enough and self.state["step"] < len(self.steps):
            if self.group.any(stop.asked):
                if self.state["step"] > saved:
                    self.save()
                if self.group.rank == 0:
                    say("stopped", step=self.state["step"])
                return
            if self.step() is None:
                return
            n = self.state["step"]
            last = n == len(self.steps)
            if self.holdout and (last or every and n % every == 0):
                self.look()
            if last or self.enough or n % self.job["checkpoint_every"] == 0:
                self.save()
                saved = n
        self.finish("early" if self.enough else "done")
        if self.group.rank == 0:
            say("done", peak_bytes=peak(self.group.device))


def main():
    with open(sys.argv[1]) as f:
        job = json.load(f)
    stop = Stop()
    global numpy, peft, pyarrow, safetensors, torch, transformers
    import numpy
    import peft
    import pyarrow.parquet
    import safetensors.torch
    import torch
    import torch.distributed
    import torch.utils.checkpoint
    import transformers

    if job["device"] == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(f"torch {torch.__version__} cannot use this machine's GPU (CUDA {torch.version.cuda})")
    if job["threads"]:
        torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True, warn_only=True)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    group = Group(job["device"])
    Trainer(job, group).run(stop)
    group.close()


if __name__ == "__main__":
    try:
        main()
    except Exception as e:
        traceback.print_exc()
        frames = traceback.extract_tb(e.__traceback__)
        ours = [f for f in frames if f.filename == __file__] or frames
        say("error", type=type(e).__name__, message=str(e)[:1500], where=f"{os.path.basename(ours[-1].filename)}:{ours[-1].lineno}")
        sys.stderr.flush()
        os._exit(1)  # threads of the other processes' connections may hang
