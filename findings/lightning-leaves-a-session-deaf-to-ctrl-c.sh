#!/usr/bin/env bash
# lightning 2.6.6 (torch 2.13.0): after one Ctrl-C in `fit`, the whole process ignores Ctrl-C.
#
# Guess: an interrupted `trainer.fit` ends with KeyboardInterrupt, or at least leaves the process as it was: in a notebook
#   or a script that goes on, the next Ctrl-C stops what runs then.
# Seen: `fit` raises SystemExit, and SIGINT stays ignored: a second Ctrl-C, long after `fit` has returned, does nothing.
# Why it matters: in a notebook, where SystemExit does not end the session, nothing can be interrupted any more, not even
#   the next training, and nothing says so.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check lightning==2.6.6 torch==2.13.0 numpy==2.4.6

# (Python here, not bash, chooses what SIGINT does: a script in the background starts with it ignored.)
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import logging
import os
import signal

import lightning as L
import torch

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Line(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, step):
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)  # what Ctrl-C sends
        return self.layer(batch).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


signal.signal(signal.SIGINT, signal.default_int_handler)
trainer = L.Trainer(
    max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
)
try:
    trainer.fit(Line(), torch.utils.data.DataLoader(torch.ones(8, 1)))
    raised = None
except BaseException as error:
    raised = type(error).__name__
assert raised == "SystemExit", raised

assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN, signal.getsignal(signal.SIGINT)
os.kill(os.getpid(), signal.SIGINT)  # a second Ctrl-C: the process goes on
print("fit raised SystemExit; Ctrl-C is ignored from then on")
PY
