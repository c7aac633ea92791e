"""Models over tokens: language models and encoder-decoders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import index
from typing import Any

import torch
from torch import Tensor, nn

from ..cell import Cell, check_cell
from ..cells import SeriesCell
from ..cells.emitting import EmittingCell
from ..engine import per_graph
from ..io import StructureLike, as_structure
from ..runs import run, run_first
from ..schedule import schedule
from ..structure import Structure, chains
from ..structure.checks import as_count, as_share, check_layout
from ..weights import Resettable
from .combine import Bidirectional, Stacked
from .decode import Pick, check_decoding, choose, greedy, sampler, search
from .model import Model, check_model, is_as_written
from .recursive import Recursive


class LanguageModel(Resettable):
    """A language model: at every node of a sequence it predicts the node's token from the preceding ones.

        p(w_t | w_1 … w_{t-1}) = softmax(V h_t + c),  h_t the state after w_0 … w_{t-1},  w_0 = the end symbol

    Mikolov, Karafiát, Burget, Černocký & Khudanpur, *Recurrent neural network based language model*, Interspeech
    2010, equations (1) to (5). The symbol that ends sequences also precedes them.

    Args:
        tokens: V.
        embedding: E, the width of word vectors.
        model: a `Recursive` (such as `graphrec.LSTM(E, H)`), or `Stacked` of them.
        hidden: H, the width of what it returns.
        end: the end symbol.
        dropout: the probability with which h is dropped in training, at the output layer.

    Raises:
        ValueError: an end symbol that is not a token. TypeError: another model.
    """

    def __init__(
        self, tokens: int, embedding: int, model: Model, hidden: int, end: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        tokens, embedding = as_count("tokens", tokens, 1), as_count("embedding", embedding, 1)
        hidden = as_count("hidden", hidden, 1)
        check_decoding(tokens, end, limit=1)
        dropout = as_share("dropout", dropout)
        _check_widths(_step_cell(model), embedding, hidden)
        self.end = end
        self.model = model
        self.embed: nn.Embedding = nn.Embedding(tokens, embedding)
        self.output: nn.Sequential = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, tokens))

    def forward(self, token: Tensor, s: StructureLike) -> Tensor:
        """`[N, V]`: the logits of each node's token, computed from the preceding tokens only.

        Args:
            token: `[N]` long; in training the last of each sequence is the end symbol.
            s: chains.
        """
        structure = _check_tokens(token, s, self.embed.num_embeddings)
        return self.output(self.model(self.embed(_previous(token, structure, self.end)), structure))

    def generate(
        self,
        prefixes: Sequence[Sequence[int]],
        limit: int,
        temperature: float | None = 1.0,
        generator: torch.Generator | None = None,
    ) -> list[list[int]]:
        """Continue each prefix until the end symbol is drawn; returns what follows the prefixes.

        Args:
            prefixes: tokens to begin with; a prefix may be empty.
            limit: the largest number of tokens.
            temperature: tokens are drawn from softmax(logits / temperature); None: the likeliest is taken.
            generator: draws; by default torch's own.

        Raises:
            ValueError: no limit, a temperature of 0 or less, invalid tokens.
        """
        check_decoding(self.embed.num_embeddings, self.end, limit)
        pick = sampler(temperature, generator)
        prefixes = _as_lists(prefixes)
        device = self.embed.weight.device
        read = [t for prefix in prefixes for t in [self.end, *prefix]]
        read = torch.tensor(read, dtype=torch.long, device=device)
        s = chains([1 + len(prefix) for prefix in prefixes]).to(device)
        _check_tokens(read, s, self.embed.num_embeddings)
        cell = _step_cell(self.model)
        with _in_use(self):
            # All but the last token are read in one run, the last one by the first node that emits.
            is_last = torch.ones_like(read, dtype=torch.bool)
            is_last[s.source] = False
            past = chains([len(prefix) for prefix in prefixes]).to(device)
            _, finals = self.model.with_states(self.embed(read[~is_last]), past)
            state = cell.join(finals) if isinstance(cell, SeriesCell) else finals[0]
            emitting = EmittingCell(cell, self.embed, self.output)
            return choose(emitting, state, read[is_last], self.end, limit, pick)


class Seq2Seq(Resettable):
    """Encoder and decoder: one sequence is read to its end, and another is emitted from the final state.

        s = the encoder's final state;  p(y_k | y_1 … y_{k-1}, x) = softmax(V h_k + c),
        h_k = decoder(y_{k-1}, h_{k-1}),  h_0 = bridge(s),  y_0 = the start symbol

    Sutskever, Vinyals & Le, *Sequence to sequence learning with neural networks*, NIPS 2014, equation (1); Cho et al.,
    *Learning phrase representations using RNN encoder-decoder*, EMNLP 2014, section 2.2 (without feeding s to every
    node). The same is a chain of nodes of two kinds under `PerKind`.

    Args:
        encoder: a `Model` over word vectors of the source.
        decoder: a cell with one slot over word vectors of the target, or several in series (`SeriesCell`).
        source_tokens, target_tokens: how many there are.
        embedding: E, the width of word vectors.
        start, end: target symbols that precede and end what is emitted.
        bridge: from the encoder's list of final states to the decoder's initial state; by default the last of
            them unchanged (for a `SeriesCell`, all of them). An encoder with two directions needs one.

    Raises:
        ValueError: start or end are not target tokens; an encoder and a decoder that do not fit together.
        TypeError: an encoder that is not a graphrec model.
    """

    bridge: nn.Module | None

    start: int
    end: int
    encoder: Model
    decoder: Cell

    def __init__(
        self,
        encoder: Model,
        decoder: Cell,
        source_tokens: int,
        target_tokens: int,
        embedding: int,
        start: int,
        end: int,
        bridge: nn.Module | None = None,
    ) -> None:
        super().__init__()
        check_cell(decoder)
        source_tokens = as_count("source_tokens", source_tokens, 1)
        target_tokens = as_count("target_tokens", target_tokens, 1)
        embedding = as_count("embedding", embedding, 1)
        check_decoding(target_tokens, end, limit=1)
        _check_parts(encoder, decoder, embedding, bridge)
        if not 0 <= as_count("start", start) < target_tokens:
            raise ValueError(f"start must be one of the target tokens 0 to {target_tokens - 1}, got {start}.")
        self.start, self.end = start, end
        self.encoder, self.decoder, self.bridge = encoder, decoder, bridge
        self.embed_source: nn.Embedding = nn.Embedding(source_tokens, embedding)
        self.embed_target: nn.Embedding = nn.Embedding(target_tokens, embedding)
        self.output: nn.Linear = nn.Linear(decoder.shapes()[0][-1], target_tokens)

    def forward(
        self, source: Tensor, s: StructureLike, target: Tensor, t: StructureLike, teacher: float = 1.0
    ) -> Tensor:
        """`[M, V]`: the logits of each target node's token.

        Args:
            source: `[N]` long.
            s: the source's chains.
            target: `[M]` long, the last of each sequence being the end symbol.
            t: the target's chains, as many as the source has.
            teacher: teacher forcing, the probability with which a node is given the true previous token; else it takes
                the likeliest token of its predecessor (Bengio et al., *Scheduled sampling*, NIPS 2015, section 2.4).

        Raises:
            ValueError: different numbers of sequences, an invalid probability, invalid tokens.
        """
        if not 0 <= teacher <= 1:
            raise ValueError(f"teacher must be a probability, 0 to 1, got {teacher}.")
        to = _check_tokens(target, t, self.output.out_features)
        state = self._encode(source, s)
        if to.num_graphs != len(state[0]):
            raise ValueError(
                f"source and target must have equally many sequences, got {len(state[0])} and {to.num_graphs}."
            )
        given = self.embed_target(_previous(target, to, self.start))
        if teacher == 1:
            return self.output(run_first(self.decoder, schedule(to), given, per_graph(state)))
        emitting = self._emitting()
        is_given = torch.rand(len(given), 1, device=given.device) < teacher
        is_given = is_given.index_fill(0, _firsts(to), True)
        begin = emitting.begin(state, given.new_zeros(len(state[0]), given.shape[1]))
        return run(
            emitting, schedule(to), torch.cat([given, is_given.to(given.dtype)], 1), per_graph(begin)
        ).logits

    def greedy(self, source: Tensor, s: StructureLike, limit: int) -> list[list[int]]:
        """For each source what the decoder emits if it always takes the likeliest token, at most `limit` tokens."""
        return self._choose(source, s, limit, greedy)

    def sample(
        self,
        source: Tensor,
        s: StructureLike,
        limit: int,
        temperature: float | None = 1.0,
        generator: torch.Generator | None = None,
    ) -> list[list[int]]:
        """The same, each token drawn from softmax(logits / temperature)."""
        return self._choose(source, s, limit, sampler(temperature, generator))

    def beam(self, source: Tensor, s: StructureLike, limit: int, width: int) -> list[list[int]]:
        """The same by beam search, `width` beginnings at a time; see `graphrec.models.decode.search`."""
        check_decoding(self.output.out_features, self.end, limit, width)
        with _in_use(self):
            state = self._encode(source, s)
            first = torch.full((len(state[0]),), self.start, device=source.device)
            return search(self._emitting(), state, first, self.end, limit, width)

    def _choose(self, source: Tensor, s: StructureLike, limit: int, pick: Pick) -> list[list[int]]:
        check_decoding(self.output.out_features, self.end, limit)
        with _in_use(self):
            state = self._encode(source, s)
            first = torch.full((len(state[0]),), self.start, device=source.device)
            return choose(self._emitting(), state, first, self.end, limit, pick)

    def _emitting(self) -> EmittingCell:
        return EmittingCell(self.decoder, self.embed_target, self.output)

    def _encode(self, source: Tensor, s: StructureLike) -> Any:
        """The decoder's initial state, `[G, ·]`."""
        structure = _check_tokens(source, s, self.embed_source.num_embeddings)
        _, finals = self.encoder.with_states(self.embed_source(source), structure)
        if self.bridge is not None:
            return self.bridge(finals)
        state = self.decoder.join(finals) if isinstance(self.decoder, SeriesCell) else finals[-1]
        wanted = [(structure.num_graphs, *shape) for shape in self.decoder.shapes()]
        if [tuple(field.shape) for field in state] != wanted:
            raise ValueError(
                f"the decoder begins with a state of shapes {wanted}, but the encoder ends with "
                f"{[tuple(field.shape) for field in state]}: give them equal widths, or a bridge."
            )
        return state


@contextmanager
def _in_use(model: nn.Module) -> Iterator[None]:
    """In this context a model is not in training: nothing is dropped, no gradients are kept."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


def _step_cell(model: nn.Module) -> Cell:
    """One node of a model with all its layers, as a cell with the same weights."""
    check_model(model)
    layers = list(model.layers) if is_as_written(model, Stacked) else [model]
    for layer in layers:
        # A model with other settings may use the same cell, as recurrent dropout does.
        if not is_as_written(layer, Recursive, ("forward", "compute")):
            raise TypeError(
                f"a language model reads from left to right and emits node by node: expected a Recursive model, or "
                f"Stacked of them, got {type(layer).__name__}."
            )
    cells = [layer.step_cell() for layer in layers]  # type: ignore[union-attr]
    return cells[0] if len(cells) == 1 else SeriesCell(cells)


def _check_widths(cell: Cell, embedding: int, hidden: int) -> None:
    if cell.inputs not in (None, embedding):
        raise ValueError(f"the model takes inputs of width {cell.inputs}, but embedding={embedding}.")
    if cell.shapes()[0] != (hidden,):
        raise ValueError(f"the model returns rows of shape {list(cell.shapes()[0])}, but hidden={hidden}.")


def _as_lists(prefixes: Sequence[Sequence[int]]) -> list[list[int]]:
    expected = "expected a list of prefixes, each a list of tokens"
    try:
        return [[index(token) for token in prefix] for prefix in prefixes]
    except TypeError as error:
        raise TypeError(f"{expected} ({error}): put a single one into a list.") from error


def _check_parts(encoder: Any, decoder: Cell, embedding: int, bridge: nn.Module | None) -> None:
    if not isinstance(check_model(encoder), Model) or not encoder.num_states:
        raise TypeError(
            f"expected an encoder with a final state (a graphrec model), got {type(encoder).__name__}."
        )
    if decoder.arity not in (None, 1):
        raise ValueError(f"a decoder has one predecessor, got a cell with {decoder.arity} slots.")
    if decoder.inputs not in (None, embedding):
        raise ValueError(f"the decoder takes inputs of width {decoder.inputs}, but embedding={embedding}.")
    if bridge is not None:
        return
    if any(isinstance(part, Bidirectional) for part in encoder.modules()):
        raise ValueError(
            "an encoder with two directions ends in two states: give a bridge that makes the decoder's of them."
        )
    cells = len(decoder.cells) if isinstance(decoder, SeriesCell) else 1
    if cells > 1 and encoder.num_states != cells:
        raise ValueError(
            f"the decoder has {cells} layers and the encoder {encoder.num_states}: give equally many, or a bridge."
        )


def _check_tokens(token: Tensor, s: StructureLike, tokens: int) -> Structure:
    if isinstance(token, Tensor):
        check_layout("token", token)
    if not isinstance(token, Tensor) or token.dtype != torch.long or token.dim() != 1:
        got = f"{token.dtype} {tuple(token.shape)}" if isinstance(token, Tensor) else type(token).__name__
        raise TypeError(f"tokens must be a long tensor with one number per node, got {got}.")
    structure = as_structure(s, token)
    if len(token) != structure.num_nodes:
        raise ValueError(
            f"tokens must have one number per node: expected {structure.num_nodes}, got {len(token)}."
        )
    low, high = (int(v) for v in torch.aminmax(token)) if len(token) else (0, 0)
    if low < 0 or high >= tokens:
        raise ValueError(f"tokens must be 0 to {tokens - 1}, got {low if low < 0 else high}.")
    return structure


def _previous(token: Tensor, s: Structure, first: int) -> Tensor:
    """`[N]`: the token of each node's predecessor, `first` where it has none."""
    if bool((torch.bincount(s.target, minlength=1) > 1).any()):
        raise ValueError("tokens stand in chains, in which a node has one predecessor at most.")
    return torch.full_like(token, first).index_copy(0, s.target, token[s.source])


def _firsts(s: Structure) -> Tensor:
    return (torch.bincount(s.target, minlength=s.num_nodes) == 0).nonzero().flatten()
