"""The role of each token of Python code: networks that see both sides of it, and networks that only look back.

    python examples/token_roles.py            # about five minutes on one core; downloads nothing
    python examples/token_roles.py --quick    # seconds: only the code of asyncio

In `f(-x, *y)` the minus is a sign, in `a - x` it subtracts; the star unpacks here and multiplies elsewhere. A bracket
may belong to a call, a tuple or a definition, and a name may be read, bound, called or imported. The data are the
statements of the Python that runs this; each token has its role from the syntax tree, one of 40. Identifiers are
hidden, all are `<name>`: only the tokens around an identifier tell its role. The test statements come from modules
that are in no other split, and none of them has the same form as one in training.

Four networks of about 90,000 weights differ in what they see of the statement, besides the token itself:

                    11 tokens          all of it
    earlier tokens  TDNN               LSTM
    both sides      TDNN, both sides   Bi-LSTM

A TDNN is a sliding window (Waibel et al. 1989): here of the 10 previous tokens, or of 5 on either side. The Bi-LSTM is
that of Graves and Schmidhuber (2005), one LSTM from each end.

An interrupted run resumes where it stopped when it is started again.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import learning
import token_pictures
import torch
from data.role_tables import FORMS, ROLES
from data.token_roles import TokenRoles
from torch import Tensor, nn
from torch_geometric.data import Data
from torchmetrics.functional.classification import multiclass_f1_score

import graphrec as gr

EMBEDDING = 32
WINDOW = 11

# By folder: the name in the table, the width, and the sequence model. All have about the same number of weights.
MODELS: dict[str, tuple[str, int, Callable[[int], nn.Module]]] = {
    "tdnn_before": ("TDNN, 10 tokens before", 224, lambda width: gr.TDNN(EMBEDDING, width, WINDOW)),
    "tdnn": ("TDNN, 5 tokens on either side", 368, lambda width: both(gr.TDNN, width, 1 + WINDOW // 2)),
    "lstm": ("LSTM, all before", 128, lambda width: gr.LSTM(EMBEDDING, width)),
    "bi_lstm": ("Bi-LSTM, all on both sides", 168, lambda width: both(gr.LSTM, width)),
}


def both(model: Callable[..., nn.Module], width: int, *window: int) -> nn.Module:
    """One model from each end, of half the width."""
    return gr.Bidirectional(*(model(EMBEDDING, width // 2, *window) for _ in range(2)))


class Labeller(nn.Module):
    """A vector per form, a sequence model, and logits of the roles for each token.

    Args:
        model: from `[N, EMBEDDING]` to `[N, width]`.
        width: of what the model returns.
    """

    def __init__(self, model: nn.Module, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(len(FORMS), EMBEDDING)
        self.label = gr.SequenceToLabels(model, width, len(ROLES))

    def forward(self, batch: Any) -> Tensor:
        """`[N, 40]`: logits."""
        return self.label(self.embed(batch.token), batch)


def count_roles(samples: list[Any]) -> Tensor:
    """`[91, 40]`: how often each form has each role."""
    pairs = torch.cat([sample.token * len(ROLES) + sample.y for sample in samples])
    return pairs.bincount(minlength=len(FORMS) * len(ROLES)).view(len(FORMS), len(ROLES))


def predict(model: learning.Classifier, samples: learning.Samples) -> Tensor:
    """`[N]`: the role that each token of the test set is given."""
    with torch.no_grad():
        return torch.cat([model(batch).argmax(dim=1) for batch in samples.test_dataloader()])


def label(model: learning.Classifier, statements: token_pictures.Statements) -> list[list[str]]:
    """The role that each token of some statements is given."""
    lengths = [len(statement) for statement in statements]
    token = torch.tensor([FORMS.index(token.form) for statement in statements for token in statement])
    with torch.no_grad():
        chains = Data(token=token, edge_index=gr.chains(lengths).edge_index, num_nodes=len(token))
        roles = model(chains).argmax(dim=1)
    return [[ROLES[role] for role in said.tolist()] for said in roles.split(lengths)]


def main(argv: list[str] | None = None) -> None:
    flags = common.parser(__doc__, name="token_roles", epochs=4, data="another folder of Python code")
    run = common.start(flags, argv)
    folder, quick = run.args.data, run.args.quick
    if quick and folder is None:
        folder = Path(sysconfig.get_path("stdlib"), "asyncio")
    with common.reading():
        splits: list[Any] = [TokenRoles(folder, split) for split in ("train", "val", "test")]
    path, code, statements = token_pictures.passage(splits[2])
    if quick:
        splits = [split[:: 1 + len(split) // 500] for split in splits]
    samples = learning.Samples(*splits, batch_size=16 if quick else 128)

    counts = count_roles(samples.train)
    y, token = (torch.cat([sample[name] for sample in samples.test]) for name in ("y", "token"))
    ambiguous = (counts > 0).sum(dim=1)[token] > 1

    def scores(guess: Tensor) -> list[float]:
        right = (guess == y).double()
        f1 = multiclass_f1_score(guess, y, len(ROLES), average="macro")
        return [float(right.mean()), float(f1), float(right[ambiguous].mean())]

    rows: list[list[object]] = [["most common role of the form", "", *scores(counts.argmax(dim=1)[token])]]
    models: dict[str, learning.Classifier] = {}
    guesses: dict[str, Tensor] = {}
    for folder_name, (name, full_width, make) in MODELS.items():
        width = full_width // 4 if quick else full_width

        def build(make: Any = make, width: int = width) -> learning.Classifier:
            return learning.Classifier(Labeller(make(width), width), len(ROLES), lr=1e-2)

        models[name] = run.fit(folder_name, build, samples)
        guesses[name] = predict(models[name], samples)
        weights = sum(p.numel() for p in models[name].parameters())
        rows.append([name, f"{weights:,}", *scores(guesses[name])])

    said = {name: label(model, statements) for name, model in models.items()}
    token_pictures.draw_code(f"{path}, a module of the test split", code, statements, said).savefig(
        run.folder / "code.png"
    )
    title = f"{len(y):,} tokens of {len(samples.test):,} statements of the test modules"
    token_pictures.draw_roles(y, guesses, title).savefig(run.folder / "roles.png")

    header = [title, "weights", "accuracy", "macro F1", "ambiguous forms"]
    note = (
        f"{len(y.unique())} of the {len(ROLES)} roles occur. The last column is the accuracy on forms that have "
        f"several roles in training: {100 * float(ambiguous.double().mean()):.0f} % of the tokens."
    )
    run.finish(f"{common.table(header, rows)}\n\n{note}")


if __name__ == "__main__":
    main()
