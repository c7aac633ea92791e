"""How far back errors must go: an echo, learnt from an endless stream by truncated backpropagation, with Lightning.

    python examples/truncated.py            # six rules, two to four minutes
    python examples/truncated.py --quick    # two rules, seconds

At every step the network reads a bit and predicts the bit of eight steps ago. The state is kept through the whole
stream, so the network could always remember. But it learns to do so only if errors reach the step at which the bit was
read, nine hops back. BPTT(h; k) sends the errors of k steps back together through h steps. With k = 1 all of them go
back h hops. With k = h the state is detached every h steps, and only the errors of the last step go back that far.

Lightning supported truncated backpropagation up to version 1.9, and silently ignores `truncated_bptt_steps` from 2.0
on. `Echo` below is all that is needed instead: a `graphrec.learning.Stream` in `training_step`.

R. Williams and J. Peng, "An efficient gradient-based algorithm for on-line training of recurrent network trajectories",
Neural Computation 2, 1990.
"""

from __future__ import annotations

from typing import Any

import common
import lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import graphrec as gr
from graphrec.learning import Stream, TruncatedBPTT

LAG = 8
STREAMS, STEPS, CALL = 32, 800, 8  # bits side by side, of each in an epoch, and in a call
HIDDEN = 32
RATE = 5e-3  # of learning
RULES = {f"BPTT({h}; {k})": (h, k) for h, k in ((4, 4), (8, 8), (8, 1), (9, 1), (12, 4), (16, 8))}
QUICK = ("BPTT(8; 8)", "BPTT(16; 8)")


class Echo(L.LightningModule):
    """A GRU that learns, call by call, to repeat what it has read.

    Args:
        depth, every: h and k.
    """

    def __init__(self, depth: int, every: int) -> None:
        super().__init__()
        self.network = gr.GRU(1, HIDDEN)
        self.answer = nn.Linear(HIDDEN, 1)
        self.stream = Stream(
            self.network, TruncatedBPTT(depth, every)
        )  # no module: it has no weights of its own
        self.right: list[float] = []  # the share of correct answers in training, by epoch

    def on_train_epoch_start(self) -> None:
        self.stream.reset()  # the sequences start again
        self._right: list[Tensor] = []

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        bits, echo = batch
        logits = self.answer(self.stream(bits)).squeeze(-1)  # continues where the last call stopped
        loss = nn.functional.binary_cross_entropy_with_logits(logits, echo)
        self._right.append(right(logits, echo))
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def on_train_epoch_end(self) -> None:
        self.right.append(torch.stack(self._right).mean().item())

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), RATE)


def right(logits: Tensor, echo: Tensor) -> Tensor:
    """The share of correct answers."""
    return ((logits > 0) == (echo > 0.5)).float().mean()


def draw(steps: int, seed: int) -> tuple[Tensor, Tensor]:
    """Bits as -1 and 1, `[STREAMS, steps, 1]`, and the bits of LAG steps ago as 0 and 1, `[STREAMS, steps]`."""
    generator = torch.Generator().manual_seed(seed)
    bits = torch.randint(0, 2, (STREAMS, LAG + steps), generator=generator).float()
    return 2 * bits[:, LAG:, None] - 1, bits[:, :-LAG]


def calls(seed: int, steps: int) -> DataLoader[Any]:
    """The stream in order, a call at a time."""
    bits, echo = draw(steps, seed)
    chunks: Any = list(zip(bits.split(CALL, dim=1), echo.split(CALL, dim=1), strict=True))
    return DataLoader(chunks, batch_size=None)  # never shuffled


def learn(run: common.Run, depth: int, every: int) -> Echo:
    """One rule."""
    L.seed_everything(run.args.seed, verbose=False)
    model = Echo(depth, every)
    trainer = common.make_trainer(max_epochs=run.args.epochs, gradient_clip_val=1.0)
    trainer.fit(model, calls(run.args.seed, STEPS // 4 if run.args.quick else STEPS))
    return model


def test(model: Echo, seed: int) -> float:
    """Correct answers to a held-out stream, in per cent."""
    bits, echo = draw(STEPS, seed + 1)
    with torch.no_grad():
        logits = model.answer(Stream(model.network)(bits)).squeeze(-1)
    return 100 * right(logits, echo).item()


def draw_picture(models: dict[str, Echo]) -> Any:
    """Correct answers by epoch, a line for each rule."""
    fig = common.figure(7.2, 4)
    ax = fig.subplots()
    ax.axhline(50, color="#8A939C", lw=1.2, ls="--")
    for (name, model), colour, marker in zip(models.items(), common.COLOURS, "osD^vP", strict=False):
        epochs = range(1, 1 + len(model.right))
        shares = [100 * share for share in model.right]
        ax.plot(epochs, shares, color=colour, marker=marker, ms=5, lw=2, label=name)
    ax.set(ylim=(45, 102), xlabel="epoch", ylabel="correct answers in training, %")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_title(f"Echo after {LAG} steps: errors must go back {LAG + 1} hops", fontsize=11)
    ax.grid(axis="y", color="#E6E9EC")
    ax.spines[["top", "right"]].set_visible(False)
    fig.legend(loc="outside right center", frameon=False)
    return fig


def main(argv: list[str] | None = None) -> None:
    run = common.start(common.parser(__doc__, name="truncated", epochs=8), argv)
    models = {}
    for name in QUICK if run.args.quick else RULES:
        common.say(f"\n{name}:")
        models[name] = learn(run, *RULES[name])
    rows = [
        [name, *RULES[name], RULES[name][0] - RULES[name][1] + 1, f"{test(model, run.args.seed):.1f}"]
        for name, model in models.items()
    ]
    draw_picture(models).savefig(run.folder / "echo.png")
    header = ["rule", "last error reaches", "every", "first error reaches", "correct, %"]
    run.finish(common.table(header, rows))


if __name__ == "__main__":
    main()
