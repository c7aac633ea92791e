"""Suggest a function's name from its code: a Tree-LSTM that reads syntax trees bottom-up, and then top-down.

    python examples/python_functions.py            # a few minutes on two cores; downloads nothing
    python examples/python_functions.py --quick    # seconds, to try it out

The data are the functions of the Python that runs this: each a syntax tree whose nodes have a type (`Call`), a
role (`func`) and words (`read`, `line`). The function's own name is masked wherever it occurs, and docstrings are
removed. The network predicts the first word of the name (`get`, `is`, `parse`) among the 40 most frequent ones. The
test functions come from modules that are in no other split.

Two baselines are measured in the same run: the most frequent name, and the same network, trained in the same way on
the same nodes without edges. The difference to the latter shows what the tree is worth.

An interrupted run resumes where it stopped when it is started again.
"""

from __future__ import annotations

import ast
import re
import textwrap
from typing import Any

import common
import learning
import torch
from data.python_functions import PythonFunctions
from data.syntax import NODE_TYPES
from torch import Tensor, nn
from torch_geometric.data import Data
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

import graphrec as gr

UNKNOWN = 2  # the number of the unknown word
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


def masked_source(data: PythonFunctions, sample: Any, lines: int = 8) -> str:
    """The function as one would show it to a person to name: without its docstring, its name masked."""
    source = data.source(sample)
    # A method is indented; dedenting it would break strings whose lines start at column 0.
    parsed: Any = ast.parse(f"if True:\n{source}").body[0] if source[:1].isspace() else ast.parse(source)
    function = parsed.body[0]
    if ast.get_docstring(function) is not None and len(function.body) > 1:
        function.body.pop(0)
    name = re.escape(sample.name.strip("_"))
    code = re.sub(rf"_*(?<![A-Za-z]){name}(?![a-z])", NAME, ast.unparse(function)).splitlines()
    return "\n".join(code if len(code) <= lines else [*code[:lines], "    ..."])


def suggest(
    model: learning.Classifier, data: PythonFunctions, sample: Any, count: int = 3
) -> list[tuple[str, float]]:
    """The most probable first words, with their probabilities."""
    with torch.no_grad():
        best = model(sample).softmax(dim=1)[0].topk(min(count, len(data.classes)))
    return [(data.classes[i], p) for p, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)]


def show(model: learning.Classifier, data: PythonFunctions, sample: Any) -> str:
    """A function, the model's suggestions, and its name."""
    guess = "   ".join(f"{name} {p:.0%}" for name, p in suggest(model, data, sample))
    return (
        f"{textwrap.indent(masked_source(data, sample), '    ')}\n  → {guess}\n    it is {sample.qualified}\n"
    )


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


def draw(model: learning.Classifier, data: PythonFunctions, sample: Any) -> Any:
    """The function and its tree; the colour and size of a node show its share of the attention."""
    with torch.no_grad():
        share = model.network.looks_at(sample)
    nodes = zip(sample.node_type.tolist(), sample.subtoken.tolist(), strict=True)
    labels = [label(data, NODE_TYPES[node_type], subtokens) for node_type, subtokens in nodes]
    guess = "   ".join(f"{name} {p:.0%}" for name, p in suggest(model, data, sample))

    code = masked_source(data, sample, lines=20)
    leaves, depth = sample.num_nodes - len(sample.edge_index[1].unique()), int(sample.level_reversed.max())
    heights = 0.2 + 0.16 * len(code.splitlines()), 0.28 * (leaves + 1)
    fig = common.figure(max(9, 1.5 * (depth + 1.5)), 1.2 + sum(heights))
    above, below = fig.subplots(2, 1, height_ratios=heights)
    fig.suptitle(
        f"Suggested: {guess}     Its name: {sample.name}", x=0.01, ha="left", fontsize=13, weight="bold"
    )
    above.text(0, 1, code, family="monospace", fontsize=9, va="top")
    above.set_axis_off()
    drawn = gr.viz.draw_tree(
        gr.from_pyg(sample), share, labels, below, sizes=30 + 900 * share, sideways=True, cmap="YlOrBr"
    )
    below.margins(0.08, 1 / (leaves + 1))
    bar = fig.colorbar(drawn, ax=below, location="bottom", anchor=(0, 1), shrink=0.3, aspect=30, pad=0.02)
    bar.set_label("share of the attention", loc="left")
    return fig


def main(argv: list[str] | None = None) -> None:
    flags = common.parser(__doc__, name="python_functions", epochs=8, data="another folder of Python code")
    run = common.start(flags, argv)
    with common.reading():
        data, *held_out = (PythonFunctions(run.args.data, split) for split in ("train", "val", "test"))
    splits: list[Any] = [data, *held_out]
    if run.args.quick:
        splits = [split[:: 1 + len(split) // 200] for split in splits]
    samples = learning.Samples(*splits, batch_size=16)
    bags = learning.Samples(*([without_edges(s) for s in split] for split in splits), batch_size=16)
    names, width = data.num_classes, 32 if run.args.quick else 128

    common.say(
        f"Learning from {len(samples.train):,} functions in {data.folder}: the first word of a function's name, "
        f"one of {names}, from its syntax tree. Two models: tree, and the baseline bag, the same without edges."
    )

    def classifier(network: nn.Module) -> learning.Classifier:
        metrics: dict[str, Metric] = {
            "top-5 accuracy": MulticlassAccuracy(names, top_k=min(5, names), average="micro"),
            "macro F1": MulticlassF1Score(names, average="macro"),
        }
        return learning.Classifier(network, names, lr=3e-3, label_smoothing=0.1, metrics=metrics)

    def suggester() -> learning.Classifier:
        return classifier(NameSuggester(data.num_subtokens, names, width))

    tree = run.fit("tree", suggester, samples, monitor="val_loss")
    bag = run.fit("bag", suggester, bags, monitor="val_loss")
    scores = {
        "most frequent names": run.test(classifier(MostFrequent(samples.train, names)), samples),
        "bag of nodes": run.test(bag, bags),
        "tree": run.test(tree, samples),
    }

    handy = [s for s in samples.test if 15 <= s.num_nodes <= 40] or samples.test
    order = torch.randperm(len(handy), generator=torch.Generator().manual_seed(run.args.seed)).tolist()
    by_module = {handy[i].path: handy[i] for i in order}  # one of each, so that they are not alike
    common.say("\nFunctions that it has never seen, drawn at random:\n")
    for sample in list(by_module.values())[:4]:
        common.say(show(tree, data, sample))

    def certainty(sample: Any) -> float:
        """That of the true name, if it is suggested first."""
        name, probability = suggest(tree, data, sample, 1)[0]
        return probability if name == data.classes[int(sample.y)] else 0.0

    picture = run.folder / "attention.png"
    draw(tree, data, max(handy, key=certainty)).savefig(picture)
    common.say(f"Its attention on the function where it is most certain: {picture}")

    columns = ["accuracy", "top-5 accuracy", "macro F1"]
    rows = [[name, *(score[column] for column in columns)] for name, score in scores.items()]
    run.finish(common.table([f"{len(samples.test)} functions of the test modules", *columns], rows))


if __name__ == "__main__":
    main()
