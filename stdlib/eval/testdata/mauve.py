"""Computes areas under divergence frontiers with numpy, for measures_test.go. The formulas are those of Pillutla et al.,
"MAUVE: Measuring the Gap Between Neural Text and Human Text using Divergence Frontiers" (arXiv:2102.01454, section 3), with
Krichevsky-Trofimov smoothing (arXiv:2212.14578): python3 mauve.py > mauve.json"""
import json

import numpy as np


def kl(p, q):
    return float(np.sum(p * np.log(p / q)))


def area(p, q, c=5, mixtures=25):
    curve = [(0.0, 1.0)]
    for w in np.linspace(1e-6, 1 - 1e-6, mixtures):
        r = w * p + (1 - w) * q
        curve.append((np.exp(-c * kl(q, r)), np.exp(-c * kl(p, r))))
    curve.append((1.0, 0.0))
    x, y = np.array(curve).T
    auc = lambda a, b: float(np.trapezoid(b[np.argsort(a, kind="stable")], np.sort(a, kind="stable")))
    return (auc(x, y) + auc(y, x)) / 2


rng = np.random.default_rng(7)
cases = []
for k in (2, 3, 5, 8, 10, 20):
    for sharp in (0.2, 1.0, 5.0):
        p, q = (rng.multinomial(100, rng.dirichlet(np.full(k, sharp))) for _ in "pq")
        smooth = lambda n: (n + 0.5) / (n.sum() + 0.5 * k)
        cases.append({"P": p.tolist(), "Q": q.tolist(), "Area": area(smooth(p), smooth(q))})
same = rng.multinomial(100, np.full(6, 1 / 6))
cases.append({"P": same.tolist(), "Q": same.tolist(), "Area": area((same + 0.5) / 103, (same + 0.5) / 103)})
print(json.dumps(cases, indent=1))
