"""The three claims about RNNs, and what training costs, as experiments: see `scripts.why`.

An experiment has parts, a module each, with `FULL` and `QUICK` settings and `measure(run, store)`. What is measured
goes into `results/why/<experiment>--<device>.json`; what is in `told` reads these files and nothing else.
"""

PARTS = {
    "sequential": ("sequential",),
    "gradients": ("profile", "distance", "agreement"),
    "bottleneck": ("recall", "translation", "attention"),
    "costs": ("costs",),
}
SCHEMA = 1
