#!/usr/bin/env bash
# ncps 1.0.1 (torch 2.13.0): a batch's time spans are spread over the units of a state instead of the samples.
#
# Guess: CfC and LTC take inputs (B, L, C) and timespans (B, L), the time between two samples of each sequence; a
#   sequence gives the same output in a batch as alone.
# Seen: at each step the spans (B,) multiply a state (B, H), which lines them up with H. If B is H, unit j of every
#   sequence gets the span of sequence j, without a word; if not, there is an error about sizes. (B, L, 1) is squeezed
#   first and ends the same.
# Why it matters: irregular sampling is what these cells are for, and 32 or 64 is a usual number of both. A sequence's
#   output then depends on the others in its batch and on its place among them; run one by one, sequences give other
#   results than in training.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check ncps==1.0.1 torch==2.13.0 numpy==2.4.6

"$work/venv/bin/python" -W ignore - <<'PY'
import torch
from ncps.torch import LTC, CfC

torch.manual_seed(0)
size = 4
x, spans = torch.randn(size, 5, 2), torch.rand(size, 5) + 0.1


def outputs(net, rows, spans):
    return net(x[rows], timespans=None if spans is None else spans[rows])[0]


def difference(net, spans):
    together = outputs(net, slice(size), spans)
    alone = torch.cat([outputs(net, slice(b, b + 1), spans) for b in range(size)])
    return (together - alone).abs().max().item()


for net in (CfC(2, size), LTC(2, size)):
    name = type(net).__name__
    with torch.no_grad():
        irregular, regular = difference(net, spans), difference(net, None)
        print(f"{name}: in a batch and alone, outputs differ by {irregular:.3f}, without spans by {regular:.1e}")
        assert irregular > 1e-2 and regular < 1e-5
        moved = spans.clone()
        moved[1:] += 1
        others = (outputs(net, slice(size), spans) - outputs(net, slice(size), moved))[0].abs().max().item()
        print(f"{name}: longer spans of the other sequences change the first one's output by {others:.3f}")
        assert others > 1e-2
        try:
            outputs(net, slice(size - 1), spans)
        except RuntimeError as error:
            print(f"{name}: a batch of {size - 1}:", error)
        else:
            raise SystemExit("changed: another batch size raised an error")
PY
