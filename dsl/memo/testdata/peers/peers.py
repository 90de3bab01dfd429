"""The cases of the adversarial suite, as far as they apply, on joblib.Memory and DVC.

Each case is run in a folder of its own: a step is carried out, one thing is changed, and the step is asked for again. The
table says whether the tool ran it again ("made") or took the stored result ("hit"), next to what is right. A hit where the
result must change is a wrong hit; a run where it cannot change is a needless miss.

    python3 -m venv peers && peers/bin/pip install joblib dvc
    peers/bin/python peers.py > peers.md

joblib is used as its documentation says: a function decorated by Memory.cache, in a module that each run imports anew in a
new process; files are given by path, since joblib keys on arguments. Where joblib users would pass the file's content or a
checksum by hand, the tool is not what keeps the promise. DVC is used as its documentation says: a stage in dvc.yaml with
its script, data and parameters as dependencies, and `dvc repro`.
"""

import os
import subprocess
import sys
import tempfile
import time

HELPER = "def scale(x):\n    return x * 2\n"
STEP = """import sys, json, os
from helper import middle
THR = 0.6

def load(path):
    with open(path) as f:
        return f.read()

"""
MIDDLE = "from deep import scale\n\ndef middle(x):\n    return scale(x)\n"

JOBLIB = STEP + """from joblib import Memory
memory = Memory("cache", verbose=0)
options = {"thr": 0.6}

@memory.cache
def step(path, thr=0.6, opts=None, seed=1):
    with open("ran", "a") as f:
        f.write("x")
    return f"{load(path)} {middle(3)} {THR} {options['thr']} {thr} {seed}"

if __name__ == "__main__":
    args = eval(os.environ.get("ARGS", "('in.txt',)"))
    kwargs = eval(os.environ.get("KWARGS", "{}"))
    print(step(*args, **kwargs))
"""

DVC_STEP = STEP + """
with open("params.json") as f:
    p = json.load(f)
with open("ran", "a") as f:
    f.write("x")
with open("out.txt", "w") as f:
    f.write(f"{load('in.txt')} {middle(3)} {THR} {p}")
"""

DVC_YAML = """stages:
  step:
    cmd: python step.py
    deps:
    - step.py
    - in.txt
    params:
    - params.json:
    outs:
    - out.txt
"""


def write(path, text, keep_time=False):
    before = os.stat(path) if keep_time else None
    with open(path, "w") as f:
        f.write(text)
    if before:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path, old, new, keep_time=False):
    with open(path) as f:
        text = f.read()
    assert old in text, (path, old)
    write(path, text.replace(old, new), keep_time)


def swap(path, text):
    """Another file of the same size and time takes this one's name."""
    before = os.stat(path)
    write(path + ".new", text)
    os.utime(path + ".new", ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(path + ".new", path)


class Joblib:
    name = "joblib"

    def __init__(self):
        write("step.py", JOBLIB)
        self.env = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")

    def run(self):
        out = subprocess.run([sys.executable, "step.py"], env=self.env, capture_output=True, text=True)
        if out.returncode:
            raise RuntimeError(out.stderr.strip().splitlines()[-1])
        return out.stdout


class DVC:
    name = "DVC"

    def __init__(self):
        write("step.py", DVC_STEP)
        write("params.json", '{"thr": 0.6, "seed": 1}')
        write("dvc.yaml", DVC_YAML)
        self.dvc("init", "--no-scm", "-q")

    def dvc(self, *args):
        env = dict(os.environ, DVC_NO_ANALYTICS="1", PATH=os.path.dirname(sys.executable) + ":" + os.environ["PATH"], PYTHONDONTWRITEBYTECODE="1")
        out = subprocess.run([os.path.join(os.path.dirname(sys.executable), "dvc"), *args], env=env, capture_output=True, text=True)
        if out.returncode:
            raise RuntimeError(out.stderr.strip().splitlines()[-1])

    def run(self):
        self.dvc("repro", "-q")
        with open("out.txt") as f:
            return f.read()


# name, what is right, how to change it in joblib, how to change it in DVC. None: the case does not apply.
def env(**kw):
    return lambda tool: tool.env.update(kw)


def both(f):
    return lambda tool: f()


CASES = [
    ("nothing", "hit", both(lambda: None), both(lambda: None)),
    ("file touched", "hit", both(lambda: os.utime("in.txt")), both(lambda: os.utime("in.txt"))),
    ("file written again with the same bytes", "hit", both(lambda: write("in.txt", "some messages")), both(lambda: write("in.txt", "some messages"))),
    ("file changed", "made", both(lambda: write("in.txt", "OTHER messages")), both(lambda: write("in.txt", "OTHER messages"))),
    ("file changed, same size", "made", both(lambda: write("in.txt", "SOME messages")), both(lambda: write("in.txt", "SOME messages"))),
    ("file changed, same size and time", "made", both(lambda: write("in.txt", "SOME messages", True)), both(lambda: write("in.txt", "SOME messages", True))),
    ("file replaced by one of the same size and time", "made", both(lambda: swap("in.txt", "SOME messages")), both(lambda: swap("in.txt", "SOME messages"))),
    ("file renamed", "hit", lambda t: (os.rename("in.txt", "b.txt"), t.env.update(ARGS="('b.txt',)")),
     both(lambda: (os.rename("in.txt", "b.txt"), replace("dvc.yaml", "in.txt", "b.txt"), replace("step.py", "in.txt", "b.txt")))),
    ("comment in the step's source", "hit", both(lambda: replace("step.py", "    return f\"", "    # a remark\n    return f\"")), both(lambda: replace("step.py", "THR = 0.6", "THR = 0.6  # a remark"))),
    ("formatting of the step's source", "hit", both(lambda: replace("step.py", "opts=None, seed=1", "opts=None,  seed=1")), both(lambda: replace("step.py", "THR = 0.6", "THR  =  0.6"))),
    ("source of the step", "made", both(lambda: replace("step.py", "{seed}\"", "{seed}!\"")), both(lambda: replace("step.py", "{p}\"", "{p}!\""))),
    ("helper one call deep", "made", both(lambda: replace("helper.py", "scale(x)", "scale(x) + 1")), both(lambda: replace("helper.py", "scale(x)", "scale(x) + 1"))),
    ("helper two calls deep", "made", both(lambda: replace("deep.py", "x * 2", "x * 3")), both(lambda: replace("deep.py", "x * 2", "x * 3"))),
    ("variable that the step reads", "made", both(lambda: replace("step.py", "THR = 0.6", "THR = 0.9")), both(lambda: replace("step.py", "THR = 0.6", "THR = 0.9"))),
    ("captured value changed by reference", "made", both(lambda: replace("step.py", "if __name__", "options['thr'] = 0.9\nif __name__")), None),
    ("same source at another place", "hit", both(lambda: replace("step.py", "THR = 0.6\n", "THR = 0.6\n\n\n\n")), None),
    ("option changed", "made", env(KWARGS="{'thr': 0.9}"), both(lambda: replace("params.json", "0.6", "0.9"))),
    ("options in another order", "hit", env(KWARGS="{'opts': {'b': 1, 'a': 2}}", FIRST="{'opts': {'a': 2, 'b': 1}}"), both(lambda: write("params.json", '{"seed": 1, "thr": 0.6}'))),
    ("keyword arguments in another order", "hit", env(KWARGS="{'seed': 1, 'thr': 0.6}", FIRST="{'thr': 0.6, 'seed': 1}"), None),
    ("default said aloud", "hit", env(KWARGS="{'thr': 0.6}"), None),
    ("float formatting", "hit", env(KWARGS="{'thr': 6e-1}", FIRST="{'thr': 0.60}"), both(lambda: write("params.json", '{"thr": 6e-1, "seed": 1}'))),
    ("whole float for an integer", "hit", env(KWARGS="{'seed': 1.0}", FIRST="{'seed': 1}"), both(lambda: write("params.json", '{"thr": 0.6, "seed": 1.0}'))),
    ("text for a number", "made", env(KWARGS="{'seed': '1'}", FIRST="{'seed': 1}"), both(lambda: write("params.json", '{"thr": 0.6, "seed": "1"}'))),
    ("seed", "made", env(KWARGS="{'seed': 2}"), both(lambda: replace("params.json", '"seed": 1', '"seed": 2'))),
    ("object damaged", "made", lambda t: damage("cache", "output.pkl"), lambda t: damage(".dvc/cache", "")),
    ("object removed", "made", lambda t: remove("cache", "output.pkl"), lambda t: remove(".dvc/cache/files", "")),
    ("store moved", "hit", lambda t: (os.rename("cache", "c2"), replace("step.py", '"cache"', '"c2"')), None),
    ("two processes on one key", "once", "crowd", None),
]


def files(root, name):
    for base, _, names in os.walk(root):
        for n in names:
            if name in n:
                yield os.path.join(base, n)


def damage(root, name):
    """Damage each stored byte string; the copy in the workspace goes, so that the store is what counts."""
    n = 0
    for path in files(root, name):
        if ".dvc" in root and "/files/" not in path:
            continue
        os.chmod(path, 0o644)
        with open(path, "r+b") as f:
            b = f.read()
            f.seek(len(b) // 2)
            f.write(bytes([b[len(b) // 2] ^ 1]))
        n += 1
    assert n, root
    if os.path.exists("out.txt"):
        os.remove("out.txt")


def remove(root, name):
    paths = list(files(root, name))
    assert paths, root
    for path in paths:
        os.remove(path)
    if os.path.exists("out.txt"):
        os.remove("out.txt")


def ran():
    return len(open("ran").read()) if os.path.exists("ran") else 0


def outcome(make, change, right):
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as d:
        os.chdir(d)
        try:
            write("in.txt", "some messages")
            write("helper.py", MIDDLE)
            write("deep.py", HELPER)
            os.utime("in.txt", (time.time() - 3600,) * 2)
            tool = make()
            if change == "crowd":
                running = [subprocess.Popen([sys.executable, "step.py"], env=tool.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(8)]
                for p in running:
                    p.wait()
                return f"made {ran()} times"
            # A case that names the first call's arguments makes it with those.
            if hasattr(tool, "env"):
                probe = dict(tool.env)
                change_env = {}
                class Probe:
                    env = change_env
                if change.__closure__ and "kw" in change.__code__.co_freevars:
                    change(Probe)
                    if "FIRST" in change_env:
                        tool.env["KWARGS"] = change_env["FIRST"]
            tool.run()
            before = ran()
            change(tool)
            tool.run()
            return "made" if ran() > before else "hit"
        except Exception as e:  # what the tool says is the outcome
            return "error: " + str(e)[:80]
        finally:
            os.chdir(here)


def main():
    counts = {}
    print("| changed between two runs | right | joblib | DVC |\n|---|---|---|---|")
    for name, right, on_joblib, on_dvc in CASES:
        if on_joblib is None and on_dvc is None:
            continue
        row = []
        for make, change in ((Joblib, on_joblib), (DVC, on_dvc)):
            if change is None:
                row.append("–")
                continue
            got = outcome(make, change, right)
            c = counts.setdefault(make.name, {"cases": 0, "wrong hits": 0, "needless misses": 0, "errors": 0})
            c["cases"] += 1
            if right == "made" and got == "hit":
                got, c["wrong hits"] = "**wrong hit**", c["wrong hits"] + 1
            elif right == "hit" and got == "made":
                got, c["needless misses"] = "needless miss", c["needless misses"] + 1
            elif got.startswith("error"):
                c["errors"] += 1
            row.append(got)
        print(f"| {name} | {right} | {row[0]} | {row[1]} |", flush=True)
    print()
    for tool, c in counts.items():
        print(f"{tool}: " + ", ".join(f"{n} {what}" for what, n in c.items()))


main()
