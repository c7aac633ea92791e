"""The sentiment of every phrase in a film review: a Tree-LSTM on the Stanford Sentiment Treebank.

    python examples/sentiment_treebank.py --data FOLDER    # the treebank; without --data it is downloaded
    python examples/sentiment_treebank.py --quick          # invented reviews from this repository, in seconds

Each sentence is a binary tree, and each of its phrases, from the single word to the whole sentence, has a
label from 0 (very negative) to 4 (very positive). A network reads the tree bottom-up and classifies every node;
no pretrained word vectors are used. As in Socher et al., accuracy is measured on all phrases and on whole sentences,
with five classes, and with two, negative and positive, without neutral ones.

R. Socher, A. Perelygin, J. Wu, J. Chuang, C. Manning, A. Ng and C. Potts, "Recursive Deep Models for Semantic
Compositionality Over a Sentiment Treebank", EMNLP 2013.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import common
import learning
import torch
from matplotlib.colors import ListedColormap
from torch import Tensor, nn
from torch_geometric.data import Data

import graphrec as gr
from graphrec.datasets import SST

# Table 1 of the paper, in per cent: five classes on phrases and on sentences, then negative against positive.
PAPER = {
    "Naive Bayes": (67.2, 41.0, 82.6, 81.8),
    "SVM": (64.3, 40.7, 84.6, 79.4),
    "Naive Bayes with bigrams": (71.0, 41.9, 82.7, 83.1),
    "average of word vectors": (73.3, 32.7, 85.1, 80.1),
    "RNN": (79.0, 43.2, 86.1, 82.4),
    "MV-RNN": (78.7, 44.4, 86.8, 82.9),
    "RNTN": (80.7, 45.7, 87.6, 85.4),
}
CLASSES = ("very negative", "negative", "neutral", "positive", "very positive")
# Blue is positive, orange-red negative: colour-blind readers can tell them apart.
SHADES = ("#B2182B", "#EF8A62", "#DCDCDC", "#67A9CF", "#2166AC")
UNKNOWN = 1  # the number of the unknown word in the vocabulary
QUICK = Path(__file__).parents[1] / "datasets"


class Sentiment(nn.Module):
    """Word vectors, a Tree-LSTM with a weight for each child, and a classifier at every node.

    Args:
        words: how many words there are.
        hidden: the width of word vectors and states.
        dropout: of word vectors and of states.
        forget: how often a word is replaced by the unknown one in training, as one in twenty will be in new sentences.
    """

    def __init__(self, words: int, hidden: int = 250, dropout: float = 0.5, forget: float = 0.05) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, hidden, padding_idx=0)  # 0 is no word: an inner node
        nn.init.normal_(self.embed.weight[1:], std=0.1)
        self.tree = gr.TreeLSTM(hidden, hidden, arity=2)
        self.classify = nn.Linear(hidden, len(CLASSES))
        self.dropout = nn.Dropout(dropout)
        self.forget = forget

    def forward(self, batch: Data) -> Tensor:
        """`[N, 5]`: logits of every node."""
        word = batch.token
        if self.training:
            hide = torch.rand(word.shape, device=word.device) < self.forget
            word = word.masked_fill(hide & (word > 0), UNKNOWN)
        h = self.tree(self.dropout(self.embed(word)), batch)
        return self.classify(self.dropout(h))


def accuracies(p: Tensor, y: Tensor, is_root: Tensor) -> tuple[float, float, float, float]:
    """In per cent, in the order of the paper's table, from probabilities `[N, 5]`.

    A phrase counts as positive if classes 3 and 4 together are more probable than 0 and 1.
    """
    five = p.argmax(dim=1) == y
    polar = y != 2
    two = (p[:, 3:].sum(dim=1) > p[:, :2].sum(dim=1)) == (y > 2)
    right = (five, five[is_root], two[polar], two[polar & is_root])
    return tuple(100 * r.double().mean().item() for r in right)  # type: ignore[return-value]


@common.reading()
def load(run: common.Run) -> tuple[list[learning.Samples], SST, str]:
    """The samples for each network, the training set, and the set that is reported on.

    Each network holds out another fiftieth of train to choose its epoch: the set that is reported on chooses nothing.
    """
    root, batch_size = (QUICK, 8) if run.args.quick else (run.args.data, 64)
    train = SST(root, "train")
    try:
        reported, name = SST(root, "test"), "the test set"
    except FileNotFoundError:
        reported, name = SST(root, "dev"), "dev, as there is no test.txt; this run chose nothing by it"
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    members = []
    for fold in (order[i::50] for i in range(run.args.networks)):
        rest = order[~torch.isin(order, fold)]
        members.append(learning.Samples(train[rest], train[fold], reported, batch_size))
    return members, train, name


def predict(models: list[learning.Classifier], samples: learning.Samples) -> tuple[Tensor, Tensor, Tensor]:
    """Mean probabilities `[N, 5]`, labels `[N]`, and which nodes are roots, of all trees to report on."""
    p, y, is_root = [], [], []
    for batch in samples.test_dataloader():
        with torch.no_grad():
            p.append(torch.stack([model(batch).softmax(dim=1) for model in models]).mean(dim=0))
        y.append(batch.y)
        is_root.append(torch.zeros(len(batch.y), dtype=torch.bool).index_fill(0, batch.ptr[1:] - 1, True))
    return torch.cat(p), torch.cat(y), torch.cat(is_root)


def draw(tree: Data, predicted: Tensor, words: list[str]) -> Any:
    """One tree: each phrase a disc in the colour of its prediction, ringed with its true label."""
    fig = common.figure(0.78 * int((tree.token > 0).sum()), 0.52 * int(tree.level.max()) + 2.2)
    ax = fig.add_subplot()
    s, look = gr.from_pyg(tree), {"cmap": ListedColormap(SHADES), "limits": (-0.5, 4.5), "ax": ax}
    gr.viz.draw_tree(s, tree["y"], [words[token] for token in tree.token], sizes=340, fontsize=11, **look)
    gr.viz.draw_tree(s, predicted, sizes=110, **look)
    for label, name in enumerate(CLASSES):
        ax.scatter([], [], s=110, color=SHADES[label], label=name)
    ax.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, handletextpad=0.2)
    ax.text(0, 1, "disc: predicted\nring: true label", transform=ax.transAxes, va="top", color="#555555")
    return fig


def contrast(tree: Data) -> float:
    """How well a tree shows the use of recursion: opposite sentiments, in a sentence of suitable length."""
    words = int((tree.token > 0).sum())
    phrases = tree["y"][tree.level > 0]
    fits = 8 <= words <= 14 and not (tree.token == UNKNOWN).any()
    return float((phrases > 2).float().mean() * (phrases < 2).float().mean()) if fits else -1.0


def main(argv: list[str] | None = None) -> None:
    folder = "the folder of train.txt, dev.txt and test.txt"
    flags = common.parser(__doc__, name="sentiment_treebank", epochs=5, data=folder)
    flags.add_argument(
        "--networks", type=common.count, default=3, help="whose answers are averaged (default: 3)"
    )
    run = common.start(flags, argv)
    members, train, reported = load(run)

    def build(seed: int) -> learning.Classifier:
        torch.manual_seed(seed)
        network = Sentiment(len(train.vocabulary), 64 if run.args.quick else 250)
        return learning.Classifier(network, len(CLASSES), lr=4e-3)

    # Accuracy on whole sentences is too noisy to choose an epoch; the loss on all phrases is steadier.
    models: list[learning.Classifier] = []
    for i, samples in enumerate(members):
        made = partial(build, run.args.seed + i)
        models.append(run.fit(f"tree_lstm_{i}", made, samples, monitor="val_loss"))

    p, y, is_root = predict(models, members[0])
    ours = accuracies(p, y, is_root)
    polar = y != 2
    judged = (y, y[is_root], (y > 2)[polar], (y > 2)[polar & is_root])
    guess = tuple(100 * v.long().bincount().max().item() / len(v) for v in judged)
    rows = {"most common label": guess} | ({} if run.args.quick else PAPER)
    rows[f"{len(models)} Tree-LSTMs (this run)"] = ours
    header = ["accuracy in %", "5 classes: phrases", "sentences", "2 classes: phrases", "sentences"]
    table = common.table(header, [[name, *(f"{v:.1f}" for v in row)] for name, row in rows.items()])

    tree = max(members[0].test, key=contrast)
    predicted = predict(models, learning.Samples([], [], [tree], 1))[0].argmax(dim=1)
    draw(tree, predicted, train.vocabulary).savefig(run.folder / "sentence.png")
    source = "Invented reviews" if run.args.quick else "The paper's rows are on its test set, this run's"
    run.finish(f"{table}\n\n{source}: {reported}.")


if __name__ == "__main__":
    main()
