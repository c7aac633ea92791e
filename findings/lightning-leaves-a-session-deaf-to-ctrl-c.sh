#!/usr/bin/env bash
# lightning 2.6.6 (torch 2.13.0): after a Ctrl-C while `fit` sets up, the whole process ignores Ctrl-C.
#
# Guess: an interrupted `trainer.fit` leaves the process as it was, as it does where it is interrupted in a training step:
#   in a notebook, or a script that goes on, the next Ctrl-C stops what runs then.
# Seen: interrupted in the module's `setup`, where data are often prepared, `fit` raises SystemExit, and SIGINT stays
#   ignored: a second Ctrl-C, long after `fit` has returned, does nothing.
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
import signal

import lightning as L
import torch

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Line(L.LightningModule):
    def __init__(self, interrupted_in):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.interrupted_in = interrupted_in

    def press_ctrl_c(self, where):
        if where == self.interrupted_in:
            signal.raise_signal(signal.SIGINT)

    def setup(self, stage):
        self.press_ctrl_c("setup")

    def training_step(self, batch, step):
        self.press_ctrl_c("a step")
        return self.layer(batch).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def handler_after(interrupted_in):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    trainer = L.Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    )
    try:
        trainer.fit(Line(interrupted_in), torch.utils.data.DataLoader(torch.ones(8, 1)))
    except SystemExit:
        return signal.getsignal(signal.SIGINT)
    raise AssertionError("fit raises SystemExit no more")


assert handler_after("a step") is signal.default_int_handler
assert handler_after("setup") is signal.SIG_IGN
signal.raise_signal(signal.SIGINT)  # a second Ctrl-C: the process goes on
print("interrupted in a step, Ctrl-C works afterwards; interrupted in setup, it is ignored from then on")
PY
