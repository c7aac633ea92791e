"""Suggest a function's name from its code: a Tree-LSTM that reads syntax trees bottom-up, and then top-down.

    python examples/python_functions.py            # two to three minutes on one core; downloads nothing
    python examples/python_functions.py --quick    # seconds, to try it out

Started again, it shows the result of the finished run; `--fresh` trains anew (`make demo FRESH=1`).

The data are the functions of the Python that runs this: each a syntax tree whose nodes have a type (`Call`), a
role (`func`) and words (`read`, `line`). The function's own name is masked wherever it occurs, and docstrings are
removed. The network predicts the first word of the name (`get`, `is`, `parse`) among the 40 most frequent ones. The
test functions come from modules that are in no other split.

Two baselines are measured in the same run: the most frequent name, and the same network, trained in the same way on
the same nodes without edges. The difference to the latter shows what the tree is worth.

The probabilities are calibrated: one number, the temperature, divides all logits, and is chosen on the validation
functions (Guo et al., *On calibration of modern neural networks*, ICML 2017). The best epoch is chosen on them, too;
the test functions are looked at once, at the end.

An interrupted run resumes where it stopped when it is started again.
"""

from __future__ import annotations

import ast
import json
import textwrap
from typing import Any, NamedTuple

import common
import function_pictures
import learning
import torch
from data.python_functions import PythonFunctions
from data.syntax import NODE_TYPES
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError, MulticlassF1Score

import graphrec as gr

UNKNOWN = 2  # the number of the unknown word
NEXT = (
    ".venv/bin/python examples/listops.py --quick    # a tree network learns to compute, in seconds",
    ".venv/bin/python examples/karate.py --quick     # the same engine on a graph with cycles",
)
NAME = "<name>"  # what stands for the masked name


class FieldTreeLSTMCell(gr.ChildSumTreeLSTMCell):
    """A Child-Sum Tree-LSTM that knows which field of the parent holds the child, the relation of their edge.

    h_k becomes r_k * h_k, with a weight r for each field and unit: an `else` counts differently from a body.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        self.relations = len(gr.SYNTAX_FIELDS)
        self.weight = nn.Embedding(self.relations, hidden)
        nn.init.ones_(self.weight.weight)  # at first it is the plain Tree-LSTM

    def forward(self, x: Tensor, inbox: gr.Inbox, own: Any) -> Any:
        return super().forward(x, inbox.replaced(h=inbox.h * self.weight(inbox.relation)), own)


class NameSuggester(nn.Module):
    """Embeddings of the nodes, a bottom-up Tree-LSTM, a top-down one, and attention over all nodes.

    Bottom-up, a node receives messages from everything below it, top-down from all the rest. So every node knows the
    whole function from its own position, and the readout can attend to the most telling ones.

    Args:
        words: how many words there are.
        names: how many names to choose from.
        width: of embeddings and states.
        dropout: of embeddings and states.
        forget: how often a word is replaced by the unknown one in training: test modules have many words of their own.
    """

    def __init__(self, words: int, names: int, width: int, dropout: float = 0.4, forget: float = 0.2) -> None:
        super().__init__()
        self.kind = nn.Embedding(len(NODE_TYPES), width)
        self.role = nn.Embedding(len(gr.SYNTAX_FIELDS), width)
        self.word = nn.EmbeddingBag(words, width, mode="mean", padding_idx=0)
        for table in (self.kind, self.role, self.word):
            nn.init.normal_(table.weight, std=0.3)  # not 1: so words that are rare in training count less
        self.up = gr.Recursive(FieldTreeLSTMCell(width, width))
        self.down = gr.Reversed(gr.Recursive(FieldTreeLSTMCell(2 * width, width)))
        self.attention = gr.readout.Attention(2 * width)
        self.classify = nn.Linear(2 * width, names)
        self.dropout = nn.Dropout(dropout)
        self.forget = forget

    def forward(self, batch: Any) -> Tensor:
        """`[G, names]`: logits."""
        s = gr.from_pyg(batch)
        return self.classify(self.dropout(self.attention(self.states(batch, s), s)))

    def states(self, batch: Any, s: gr.Structure) -> Tensor:
        """`[N, 2 width]`: of each node, what is below it and what is around it."""
        word = batch.subtoken
        if self.training:
            forgotten = torch.rand(word.shape, device=word.device) < self.forget
            word = word.masked_fill(forgotten & (word > UNKNOWN), UNKNOWN)
        x = self.dropout(self.kind(batch.node_type) + self.role(batch.field) + self.word(word))
        up = self.up(x, s)
        down = self.down(torch.cat([x, self.dropout(up)], dim=1), s)
        return torch.cat([up, down], dim=1)

    def looks_at(self, sample: Data) -> Tensor:
        """`[N]`: the share of attention that each node gets."""
        s = gr.from_pyg(sample)
        return self.attention.weights(self.states(sample, s), s).flatten()


class MostFrequent(nn.Module):
    """Suggests the names by their frequency in training, whatever the function."""

    count: Tensor

    def __init__(self, samples: list[Any], names: int) -> None:
        super().__init__()
        self.register_buffer(
            "count", torch.cat([sample.y for sample in samples]).bincount(minlength=names).float()
        )

    def forward(self, batch: Any) -> Tensor:
        return self.count.expand(batch.num_graphs, -1)


def without_edges(sample: Any) -> Data:
    """The same nodes without edges: a bag."""
    bag = sample.clone()
    bag.edge_index, bag.slot, bag.edge_type = sample.edge_index[:, :0], sample.slot[:0], sample.edge_type[:0]
    bag.level, bag.level_reversed = torch.zeros_like(sample.level), torch.zeros_like(sample.level)
    return bag


def without_docstring(data: PythonFunctions, sample: Any) -> tuple[ast.AST, list[str]]:
    """The function as one would show it to a person: its tree, and its lines, without the docstring."""
    source = data.source(sample)
    # A method is indented; dedenting it would break strings whose lines start at column 0.
    parsed: Any = ast.parse(f"if True:\n{source}").body[0] if source[:1].isspace() else ast.parse(source)
    function = parsed.body[0]
    if ast.get_docstring(function) is not None and len(function.body) > 1:
        function.body.pop(0)
    text = ast.unparse(function)
    return ast.parse(text).body[0], text.splitlines()


def masked_source(data: PythonFunctions, sample: Any, lines: int = 8) -> str:
    """The function as one would show it to a person to name: without its docstring, its name masked."""
    code, _ = function_pictures.masked(without_docstring(data, sample)[1], sample.name, NAME)
    return "\n".join(code if len(code) <= lines else [*code[:lines], "    ..."])


class Guesses(NamedTuple):
    """What the model says of some samples: calibrated probabilities `[G, names]`, and the true names `[G]`."""

    probability: Tensor
    y: Tensor

    @property
    def certainty(self) -> Tensor:
        """`[G]`: the probability of the first suggestion."""
        return self.probability.amax(dim=1)

    @property
    def is_right(self) -> Tensor:
        """`[G]`: whether the first suggestion is the name."""
        return self.probability.argmax(dim=1) == self.y

    @property
    def calibration_error(self) -> float:
        """By how much certainty and share of right names differ, the mean over ten bins of certainty."""
        return float(
            MulticlassCalibrationError(self.probability.shape[1], n_bins=10)(self.probability, self.y)
        )


def logits_of(model: learning.Classifier, samples: list[Any]) -> tuple[Tensor, Tensor]:
    """`[G, names]` and the true names `[G]`."""
    with torch.no_grad():
        logits = torch.cat([model(batch) for batch in DataLoader(samples, batch_size=32)])
    return logits, torch.cat([sample.y for sample in samples])


def temperature(logits: Tensor, y: Tensor) -> float:
    """The number by which to divide the logits, so that the probabilities fit the names best."""
    log = torch.zeros((), requires_grad=True)
    search = torch.optim.LBFGS([log], max_iter=50)

    def loss() -> Tensor:
        search.zero_grad()
        found = nn.functional.cross_entropy(logits / log.exp(), y)
        found.backward()
        return found

    with torch.enable_grad():
        search.step(loss)
    return float(log.detach().exp())


def suggestions(data: PythonFunctions, probability: Tensor, count: int = 3) -> str:
    """The most probable first words, with their probabilities `[names]`."""
    best = probability.topk(min(count, len(data.classes)))
    return "   ".join(f"{data.classes[i]} {p:.0%}" for p, i in zip(*map(Tensor.tolist, best), strict=True))


def chosen(guesses: Guesses, handy: list[int]) -> dict[str, int]:
    """Which functions are shown, by a rule: of the handy ones the surest right, the one of median certainty, and the
    surest wrong one."""
    by_certainty = sorted(handy, key=lambda i: float(guesses.certainty[i]))
    right = [i for i in by_certainty if guesses.is_right[i]]
    wrong = [i for i in by_certainty if not guesses.is_right[i]]
    picked = {
        "The surest of those that are right": right[-1:],
        "One of median certainty": by_certainty[len(handy) // 2 :][:1],
    }
    picked["The surest of those that are wrong"] = wrong[-1:]
    return {what: found[0] for what, found in picked.items() if found}


def show(data: PythonFunctions, what: str, sample: Any, probability: Tensor) -> str:
    """A function, the model's suggestions, and its name."""
    return (
        f"{what}:\n\n{textwrap.indent(masked_source(data, sample), '    ')}\n"
        f"  → {suggestions(data, probability)}\n    it is {sample.qualified}\n"
    )


def by_certainty(guesses: Guesses) -> str:
    """How often the first suggestion is right, where the model is this sure of it."""
    rows = []
    for least in (0.8, 0.6, 0.4, 0.0):
        sure = guesses.certainty >= least
        if sure.any():
            rows.append(
                [
                    f"{least:.0%} or more" if least else "whatever",
                    int(sure.sum()),
                    f"{guesses.is_right[sure].double().mean():.0%}",
                ]
            )
    return common.table(["how sure the tree is of its first suggestion", "functions", "right"], rows)


def label(data: PythonFunctions, node_type: str, subtokens: list[int]) -> str:
    """A node's text, short enough for a column of the picture."""
    words = " ".join(data.vocabulary[word].replace("<unknown>", "?") for word in subtokens if word)
    words = textwrap.shorten(words, 16, placeholder=" …")
    short = {
        "Attribute": f".{words}",
        "Constant.str": f"“{words}”",
        "keyword": f"{words}=",
        "FunctionDef": f"def {words}",
    }
    if node_type in short and words:
        return short[node_type]
    return words if node_type.startswith(("Name", "arg", "Constant")) and words else f"{node_type} {words}"


def draw(model: learning.Classifier, data: PythonFunctions, sample: Any, probability: Tensor) -> Any:
    """The function and its tree; the colour and size of a node show its share of the attention."""
    with torch.no_grad():
        share = model.network.looks_at(sample)
    nodes = zip(sample.node_type.tolist(), sample.subtoken.tolist(), strict=True)
    labels = [label(data, NODE_TYPES[node_type], subtokens) for node_type, subtokens in nodes]
    function, lines = without_docstring(data, sample)
    code, moved = function_pictures.masked(lines, sample.name, NAME)
    found = function_pictures.positions(function)
    if len(found) != sample.num_nodes:  # (a docstring within, which the sample has not)
        found = [None] * sample.num_nodes
    spans = [at and (at[0], moved(at[0], at[1]), moved(at[0], at[2])) for at in found]
    title = f"Suggested: {suggestions(data, probability)}     Its name: {sample.name}"
    return function_pictures.draw(code, spans, gr.from_pyg(sample), share, labels, title)


def earlier_result(args: Any) -> str | None:
    """What a finished run with the same flags has said, unless another is asked for."""
    results, flags = args.out / "results.txt", args.out / "flags.json"
    if args.fresh or not results.exists() or not flags.exists():
        return None
    then = json.loads(flags.read_text(encoding="utf-8"))
    asked = {name: str(value) for name, value in vars(args).items() if name not in ("out", "fresh")}
    return results.read_text(encoding="utf-8") if asked.items() <= then.items() else None


def main(argv: list[str] | None = None) -> None:
    flags = common.parser(__doc__, name="python_functions", epochs=4, data="another folder of Python code")
    args = flags.parse_args(argv)
    if (earlier := earlier_result(args)) is not None:
        common.say(
            f"A run with these flags has finished; --fresh (make demo FRESH=1) trains anew.\n\n{earlier}"
        )
        return
    run = common.start(flags, argv)
    with common.reading():
        data, *held_out = (PythonFunctions(run.args.data, split) for split in ("train", "val", "test"))
    splits: list[Any] = [data, *held_out]
    if run.args.quick:
        splits = [split[:: 1 + len(split) // 200] for split in splits]
    samples = learning.Samples(*splits, batch_size=32)
    bags = learning.Samples(*([without_edges(s) for s in split] for split in splits), batch_size=32)
    names, width = data.num_classes, 32 if run.args.quick else 128

    common.say(
        f"It learns to name functions: from the syntax tree of a function, its name masked, the first word of the name "
        f"(get, is, parse, …), one of {names}.\nThere are {len(samples.train):,} functions to learn from, in "
        f"{data.folder}. Two models are trained: tree, and the baseline bag, which sees the same nodes without edges."
    )

    def classifier(network: nn.Module) -> learning.Classifier:
        metrics: dict[str, Metric] = {
            "top-5 accuracy": MulticlassAccuracy(names, top_k=min(5, names), average="micro"),
            "macro F1": MulticlassF1Score(names, average="macro"),
        }
        return learning.Classifier(network, names, lr=4e-3, label_smoothing=0.1, metrics=metrics)

    def suggester() -> learning.Classifier:
        return classifier(NameSuggester(data.num_subtokens, names, width))

    tree = run.fit("tree", suggester, samples, monitor="val_loss")
    bag = run.fit("bag", suggester, bags, monitor="val_loss")
    scores = {
        "most frequent names": run.test(classifier(MostFrequent(samples.train, names)), samples),
        "bag of nodes": run.test(bag, bags),
        "tree": run.test(tree, samples),
    }

    heat = temperature(*logits_of(tree, samples.val))
    logits, y = logits_of(tree, samples.test)
    raw, guesses = Guesses(logits.softmax(dim=1), y), Guesses((logits / heat).softmax(dim=1), y)
    fitting = [i for i, s in enumerate(samples.test) if 15 <= s.num_nodes <= 40]
    picked = chosen(guesses, fitting or list(range(len(samples.test))))

    said = ["Functions that it has never seen, of 15 to 40 nodes:\n"]
    said += [show(data, what, samples.test[i], guesses.probability[i]) for what, i in picked.items()]
    columns = ["accuracy", "top-5 accuracy", "macro F1"]
    rows = [[name, *(score[column] for column in columns)] for name, score in scores.items()]
    said.append(common.table([f"{len(samples.test)} functions of the test modules", *columns], rows))
    said.append(f"\n{by_certainty(guesses)}")
    said.append(
        f"\nIts probabilities are calibrated: temperature {heat:.2f}, chosen on the validation functions. On the test "
        f"functions the expected\ncalibration error is {guesses.calibration_error:.3f}, and "
        f"{raw.calibration_error:.3f} without it."
    )
    picture = run.folder / "attention.png"
    first = next(iter(picked.values()))
    draw(tree, data, samples.test[first], guesses.probability[first]).savefig(picture)
    said.append(f"\nWhere it looks, on the first of these functions: {picture}")
    said.append(f"Next: {NEXT[0]}\n      {NEXT[1]}")
    run.finish("\n".join(said))


if __name__ == "__main__":
    main()
