#!/usr/bin/env bash
# torchmetrics 1.9.0 (torch 2.13.0): a weighted mean that does not look for NaN is not weighted.
#
# Guess: `MeanMetric(nan_strategy="disable")` computes what `MeanMetric()` does for numbers, and looks for no NaN: its
#   documentation says "disable all `nan` checks", and no more.
# Seen: it replaces the weights by ones. The mean of 1 (weight 3) and 5 (weight 1) is 3 instead of 2.
# Why it matters: means over batches of different sizes are wrong without a word, by as much as the sizes differ.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torchmetrics==1.9.0 torch==2.13.0 numpy==2.4.6

"$work/venv/bin/python" -W ignore - <<'PY'
from torchmetrics import MeanMetric

means = {}
for strategy in ("warn", "disable"):
    mean = MeanMetric(nan_strategy=strategy)
    mean.update(1.0, 3.0)
    mean.update(5.0, 1.0)
    means[strategy] = float(mean.compute())
assert means == {"warn": 2.0, "disable": 3.0}, means
print(f"the mean of 1 (weight 3) and 5 (weight 1): {means}")
PY
