"""Policy gradients on prefix trees: a character model learns to write real words, from many continuations a prompt.

    python examples/policy_gradient.py            # about a minute, plus the first reading of the data
    python examples/policy_gradient.py --quick    # seconds, to try it out

An LSTM first learns to write docstrings, those of the Python that runs this. Then it is tuned for a reward: the share
of a continuation's characters that lie in words which the training texts have, too, each word counted once. Each
iteration draws many continuations of a few prompts, and follows

    ∇ Σ_i (r_i - b_i) log p(continuation i | its prompt),  b_i the mean reward of the prompt's other continuations

(REINFORCE of Williams 1992; the baseline is that of Kool, van Hoof & Welling 2019). All continuations of a prompt begin
with the prompt: on a `graphrec.Trie` it is read once, and so is whatever continuations have in common.
Log-probabilities belong to nodes; a node's weight is the sum of the advantages of the sequences through it,
`trie.fold`. In every tenth iteration the loss of all sequences in full is computed beside it, to show that loss and
gradients are the same. Seconds and memory of a step are those of two processes in which nothing else is done.

R. Williams, "Simple statistical gradient-following algorithms for connectionist reinforcement learning", Machine
Learning 8, 1992. W. Kool, H. van Hoof and M. Welling, "Buy 4 REINFORCE samples, get a baseline for free!", ICLR 2019
workshop on deep reinforcement learning meets structured prediction.
"""

from __future__ import annotations

import multiprocessing
import re
import statistics
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import common
import torch
from data.docstrings import Docstrings
from torch import Tensor

import graphrec as gr

END = 0  # of the characters of Docstrings
WORD = re.compile(r"[A-Za-z]{3,}")
STATUS = Path("/proc/self/status")
AGREES = 1e-4  # float32: the largest difference of gradients, relative to the largest entry of each


class Sizes(NamedTuple):
    """What a run does.

    Attributes:
        texts, steps: how many texts a step of pre-training reads, and how many steps there are.
        prompts, length: how many prompts an iteration of tuning has, and their characters.
        branches, limit: continuations of each, and the characters of one at most.
        hidden: the width of the LSTM.
    """

    texts: int = 32
    steps: int = 250
    prompts: int = 8
    length: int = 160
    branches: int = 16
    limit: int = 40
    hidden: int = 128


QUICK = Sizes(texts=16, steps=100, prompts=4, length=60, branches=8, limit=20, hidden=32)


class Draws(NamedTuple):
    """Continuations of prompts: P lists of K, with an advantage for each of the P K sequences."""

    prompts: list[list[int]]
    branches: list[list[list[int]]]
    advantage: Tensor


class Words:
    """The reward of a text.

    Args:
        texts: what to take words from; a word counts if it is there three times.
        vocabulary: the characters.
    """

    def __init__(self, texts: list[str], vocabulary: list[str]) -> None:
        counts = Counter(word for text in texts for word in WORD.findall(text))
        self.known = {word for word, count in counts.items() if count >= 3}
        self.vocabulary = vocabulary

    def reward(self, tokens: list[int]) -> float:
        """The share of characters in known words of three letters or more, each word counted once."""
        text = "".join(self.vocabulary[token] for token in tokens)
        return sum(map(len, self.known.intersection(WORD.findall(text)))) / max(len(text), 1)


def make_model(characters: int, hidden: int) -> gr.LanguageModel:
    return gr.LanguageModel(characters, 32, gr.LSTM(32, hidden, forget_bias=1.0), hidden, end=END)


def pretrain(model: gr.LanguageModel, texts: list[Tensor], sizes: Sizes) -> float:
    """Maximum likelihood; returns the bits per character of the last tenth of all steps."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, sizes.steps, 1e-3)
    bits = []
    for _ in range(sizes.steps):
        batch = [texts[i] for i in torch.randint(len(texts), (sizes.texts,))]
        token = torch.cat(batch)
        loss = torch.nn.functional.cross_entropy(model(token, gr.chains(list(map(len, batch)))), token)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        bits.append(loss.item() / 0.6931)
    return statistics.mean(bits[-max(1, sizes.steps // 10) :])


def draw(
    model: gr.LanguageModel, prompts: list[list[int]], words: Words, sizes: Sizes
) -> tuple[Draws, float]:
    """Continuations of each prompt, and their mean reward."""
    repeated = [prompt for prompt in prompts for _ in range(sizes.branches)]
    drawn = model.generate(repeated, sizes.limit)
    reward = torch.tensor([words.reward(tokens) for tokens in drawn]).view(len(prompts), sizes.branches)
    others = (reward.sum(1, keepdim=True) - reward) / (sizes.branches - 1)
    # (The end symbol was drawn, too, where a continuation is shorter than it might have been.)
    ended = [tokens if len(tokens) == sizes.limit else [*tokens, END] for tokens in drawn]
    branches = [ended[i : i + sizes.branches] for i in range(0, len(ended), sizes.branches)]
    return Draws(prompts, branches, (reward - others).flatten()), reward.mean().item()


def weight_of(trie: gr.Trie, draws: Draws) -> Tensor:
    """`[R]`: the weight of each character of all sequences: none in prompts, its sequence's advantage behind them."""
    prompt = torch.tensor([len(prompt) for prompt in draws.prompts])[trie.graph]
    of_sequence = trie.sequences.graph
    is_drawn = gr.levels(trie.sequences) >= prompt[of_sequence]
    return is_drawn * draws.advantage[of_sequence] / len(draws.advantage)


def loss_on_trie(model: gr.LanguageModel, trie: gr.Trie, weight: Tensor) -> Tensor:
    """Each node once."""
    surprise = torch.nn.functional.cross_entropy(
        model(trie.token, trie.structure), trie.token, reduction="none"
    )
    return (trie.fold(weight) * surprise).sum()


def loss_in_full(model: gr.LanguageModel, trie: gr.Trie, weight: Tensor) -> Tensor:
    """Each sequence from its beginning, as without a trie."""
    token = trie.expand(trie.token)
    surprise = torch.nn.functional.cross_entropy(model(token, trie.sequences), token, reduction="none")
    return (weight * surprise).sum()


LOSSES = {"trie": loss_on_trie, "in full": loss_in_full}


def differences(model: gr.LanguageModel, trie: gr.Trie, weight: Tensor) -> tuple[float, float]:
    """Between the two ways: of the loss, and of gradients relative to the largest entry of each parameter's."""
    losses, grads = [], []
    for loss_of in LOSSES.values():
        loss = loss_of(model, trie, weight)
        losses.append(loss.item())
        grads.append(torch.autograd.grad(loss, list(model.parameters())))
    apart = [float((a - b).abs().max() / b.abs().max().clamp(min=1e-8)) for a, b in zip(*grads, strict=True)]
    return abs(losses[0] - losses[1]), max(apart)


def tune(
    model: gr.LanguageModel, prompts: list[list[int]], words: Words, sizes: Sizes, iterations: int
) -> tuple[list[float], list[tuple[float, float]], list[Draws]]:
    """The mean reward of each iteration, how far the two ways were apart, and the continuations."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    rewards, apart, found = [], [], []
    for iteration in range(iterations):
        chosen = [prompts[i] for i in torch.randperm(len(prompts))[: sizes.prompts]]
        draws, reward = draw(model, chosen, words, sizes)
        rewards.append(reward)
        found.append(draws)
        trie = gr.Trie.from_branches(draws.prompts, draws.branches)
        weight = weight_of(trie, draws)
        if iteration % 10 == 0:
            apart.append(differences(model, trie, weight))
            assert apart[-1][1] < AGREES, f"gradients differ by {apart[-1][1]:.1e}"
            common.say(f"  iteration {iteration:>3}  mean reward {reward:.3f}  {trie!r}")
        optimizer.zero_grad()
        loss_on_trie(model, trie, weight).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return rewards, apart, found


def cost(way: str, characters: int, hidden: int, draws: Draws) -> tuple[float, float]:
    """Seconds of a step, its trie and schedule included, and the MB that steps add to what the process held before."""
    torch.set_num_threads(1)
    model = make_model(characters, hidden)

    def step(draws: Draws) -> float:
        began = time.process_time()
        trie = gr.Trie.from_branches(draws.prompts, draws.branches)
        LOSSES[way](model, trie, weight_of(trie, draws)).backward()
        return time.process_time() - began

    step(Draws([[1, 2]], [[[3], [4, 5]]], torch.tensor([0.5, -0.5])))  # what is loaded once
    before = peak()
    seconds = [step(draws) for _ in range(5)]
    return statistics.median(seconds), (peak() - before) / 1e6


def peak() -> int:
    """The most bytes that this process has held, as Linux tells it; 0 elsewhere."""
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def costs(characters: int, hidden: int, draws: Draws) -> list[list[object]]:
    """A row for each way, by a process of its own."""
    trie = gr.Trie.from_branches(draws.prompts, draws.branches)
    rows: list[list[object]] = []
    for way, nodes in (("trie", trie.num_nodes), ("in full", trie.num_rows)):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            seconds, most = pool.submit(cost, way, characters, hidden, draws).result()
        rows.append([way, f"{nodes:,}", f"{1e3 * seconds:.0f}", f"{most:.0f}"])
    return rows


def main(argv: list[str] | None = None) -> None:
    run = common.start(common.parser(__doc__, name="policy_gradient", epochs=60), argv)
    sizes, iterations = (QUICK, 3) if run.args.quick else (Sizes(), run.args.epochs)
    with common.reading():
        train, held_out = (Docstrings(split=split, max_length=240) for split in ("train", "val"))
    torch.manual_seed(run.args.seed)
    model = make_model(len(train.vocabulary), sizes.hidden)
    bits = pretrain(model, [sample.token for sample in train], sizes)
    common.say(f"{sizes.steps} steps of pre-training: {bits:.2f} bits per character")
    words = Words([sample.text for sample in train], train.vocabulary)
    texts = (sample.token.tolist() for sample in held_out)
    prompts = [text[: sizes.length] for text in texts if len(text) > sizes.length]
    rewards, apart, found = tune(model, prompts, words, sizes, iterations)
    tenth = max(1, iterations // 10)
    begin, end = statistics.mean(rewards[:tenth]), statistics.mean(rewards[-tenth:])
    loss, gradient = (max(values) for values in zip(*apart, strict=True))
    sample = "".join(train.vocabulary[token] for token in found[-1].branches[0][0] if token != END)
    run.finish(
        f"mean reward of the first {tenth} iterations {begin:.3f}, of the last {end:.3f}\n"
        f"one of the last continuations: {sample!r}\n"
        f"largest difference between trie and sequences in full: loss {loss:.1e}, gradients {gradient:.1e}\n\n"
        + common.table(
            ["a step, as the first", "nodes", "ms", "MB"],
            costs(len(train.vocabulary), sizes.hidden, found[0]),
        )
    )


if __name__ == "__main__":
    main()
