#!/usr/bin/env bash
# lightning 2.6.6 (torch 2.13.0): an epoch of which a checkpoint has the last batch is not validated when it is resumed.
#
# Guess: a checkpoint that `ModelCheckpoint(every_n_train_steps=4)` writes after the last of the 4 batches of an epoch, before
#   its validation, resumes with that validation; so does one that is written in the middle of the validation.
# Seen: the resumed run takes the epoch for validated and begins the next one: no batch of the validation is seen.
#   `on_train_epoch_end` is called for the checkpoint from within the validation, not for the one before it. From a
#   checkpoint after any other batch the validation comes.
# Why it matters: a run that was killed while it validated, which is where long validations are killed, has an epoch
#   without val_loss: the best checkpoint, early stopping and schedulers that look at it miss one, without a word.
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
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch.utils.data import DataLoader

FOLDER = Path(sys.argv[1])
MIDDLE = FOLDER / "middle.ckpt"


class Module(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer, self.seen = torch.nn.Linear(1, 1), []

    def training_step(self, batch, index):
        self.seen.append(f"train {self.current_epoch}")
        return self.layer(batch).sum()

    def validation_step(self, batch, index):
        self.seen.append(f"validate {self.current_epoch}")

    def on_train_epoch_end(self):
        self.seen.append(f"end {self.current_epoch}")

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-3)


class InTheMiddle(Callback):
    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        if trainer.current_epoch == 0 and batch_idx == 1:
            trainer.save_checkpoint(MIDDLE)


def seen(resumed=None, **options):
    module = Module()
    batches = DataLoader(torch.arange(4.0).view(4, 1), 1)
    trainer = L.Trainer(
        accelerator="cpu", devices=1, max_epochs=2, logger=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, **options,
    )
    trainer.fit(module, batches, batches, ckpt_path=resumed)
    return module.seen


every_step = ModelCheckpoint(FOLDER, "{step}", every_n_train_steps=1, save_top_k=-1)
whole = seen(callbacks=[every_step, InTheMiddle()])
epochs = [["train"] * 4 + ["validate"] * 4 + ["end"]] * 2
assert whole == [f"{what} {epoch}" for epoch, events in enumerate(epochs) for what in events], whole
print("uninterrupted:", ", ".join(whole))
for name, validated in (("step=3", True), ("step=4", False), ("middle", False)):
    went_on = seen(FOLDER / f"{name}.ckpt", enable_checkpointing=False)
    print(f"resumed from {name}:", ", ".join(went_on))
    assert ("validate 0" in went_on) == validated, "changed"
    assert ("end 0" in went_on) == (name != "step=4") and went_on.count("validate 1") == 4, "changed"
PY
