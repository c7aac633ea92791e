#!/usr/bin/env bash
# lightning 2.6.6 (torch 2.13.0): a run that asks for its number of steps begins its data anew when it is resumed.
#
# Guess: the state of a loader that has `state_dict` and `load_state_dict` is kept in checkpoints and handed back on
#   resume, whatever `configure_optimizers` does; to ask for `trainer.estimated_stepping_batches` there is what the
#   documentation shows for learning rate schedules of a known length.
# Seen: it is handed back where nobody asks. Asking sets the loaders up before the checkpoint is read, and the state is
#   dropped without a word: the resumed epoch begins with its first batch, and ends after as many as were left.
# Why it matters: samples are seen twice and others never, with the number of steps as expected; one line about the
#   learning rate decides. (Others have met it: Lightning-AI/pytorch-lightning, issue 20550.)
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check lightning==2.6.6 torch==2.13.0 numpy==2.4.6

"$work/venv/bin/python" -W ignore - "$work/run" 2>/dev/null <<'PY'
import sys
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint


class Loader:
    """The numbers 0 to 7; goes on where it stopped."""

    def __init__(self):
        self.next = 0

    def __len__(self):
        return 8

    def __iter__(self):
        while self.next < len(self):
            self.next += 1
            yield torch.tensor([self.next - 1.0])
        self.next = 0

    def state_dict(self):
        return {"next": self.next}

    def load_state_dict(self, state):
        self.next = state["next"]


class Module(L.LightningModule):
    def __init__(self, asks):
        super().__init__()
        self.asks, self.layer, self.seen = asks, torch.nn.Linear(1, 1), []

    def training_step(self, batch, index):
        self.seen.append(int(batch))
        return self.layer(batch).sum()

    def configure_optimizers(self):
        if self.asks:
            self.trainer.estimated_stepping_batches
        return torch.optim.SGD(self.parameters(), 1e-3)


def seen(folder, asks, resumed=None, **options):
    module = Module(asks)
    trainer = L.Trainer(
        accelerator="cpu", devices=1, max_epochs=1, logger=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[ModelCheckpoint(folder, "last", every_n_train_steps=3)], **options,
    )
    trainer.fit(module, Loader(), ckpt_path=resumed)
    return module.seen


for asks, expected in ((False, [3, 4, 5, 6, 7]), (True, [0, 1, 2, 3, 4])):
    folder = Path(sys.argv[1]) / str(asks)
    begun = seen(folder, asks, max_steps=3)
    checkpoint = folder / "last.ckpt"
    kept = torch.load(checkpoint, weights_only=True)["loops"]["fit_loop"]["state_dict"]["combined_loader"]
    assert begun == [0, 1, 2] and kept == [{"next": 3}], (begun, kept)
    went_on = seen(folder, asks, checkpoint)
    print("asked for estimated_stepping_batches:" if asks else "did not ask:", begun, "and, resumed,", went_on)
    assert went_on == expected, "changed"
PY
