"""The models: with which arguments each is made, and over what it is called."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import nn
from torch_geometric.nn import SAGEConv

import graphrec as gr
from tests import strategies
from tests.face.entry import (
    Arguments,
    Entry,
    activation,
    forget_bias,
    given,
    is_module,
    model_on,
    same,
    share,
    small,
    truth,
    width,
)
from tests.tolerances import assert_close

WIDTHS: dict[str, Any] = {"inputs": width, "hidden": width}
CHAINS = strategies.chains() | st.sampled_from([gr.chains([]), gr.chains([0])])
DAGS = strategies.structures(cyclic=False).filter(lambda s: s.edge_attr is None)
TREES = CHAINS | strategies.trees(2) | strategies.dags(2)
ANY = strategies.structures().filter(lambda s: s.edge_attr is None)
OVER_TIME = st.builds(
    lambda steps, count: gr.over_time(gr.chebyshev(gr.dag([[0, 1], [1, 0]], count), 2), steps),
    small,
    st.integers(2, 4),
)


def gru(inputs: int = 2, hidden: int = 2) -> st.SearchStrategy[gr.Model]:
    return st.builds(gr.GRU, st.just(inputs), st.just(hidden))


def graph_over_time(name: str) -> Entry:
    structure = gr.diffusion if name == "DCRNN" else gr.chebyshev

    def promise(made: Any, arguments: Arguments) -> None:
        graph = structure(gr.dag([[0, 1, 1, 2], [1, 0, 2, 1]]), arguments["k"])
        s = gr.over_time(graph, 2, carried=True)
        h = made(torch.randn(s.num_nodes, arguments["inputs"]), s)
        assert h.shape == (s.num_nodes, arguments["hidden"])
        assert h.isfinite().all()
        is_module(made)

    return Entry(given(**WIDTHS, k=small), promise)


def labelled(outputs: str, rows: Any) -> Any:
    """A model with a head gives so many numbers for each of so many rows."""

    def promise(made: Any, arguments: Arguments, draw: Any) -> None:
        s = draw(CHAINS)
        h = made(torch.randn(s.num_nodes, 2), s)
        assert h.shape == (rows(s), arguments[outputs])
        is_module(made)

    return promise


def language(made: Any, arguments: Arguments, draw: Any) -> None:
    s = draw(CHAINS)
    assert made(torch.randint(arguments["tokens"], (s.num_nodes,)), s).shape == (
        s.num_nodes,
        arguments["tokens"],
    )
    is_module(made)


def seq2seq(made: Any, arguments: Arguments, draw: Any) -> None:
    source = torch.randint(arguments["source_tokens"], (3,))
    assert len(made.greedy(source, gr.chains([2, 1]), 3)) == 2
    is_module(made)


def padded(made: Any, arguments: Arguments) -> None:
    x = torch.randn(2, 3, 2)
    rows = x if arguments["batch_first"] else x.transpose(0, 1)
    expected = torch.stack([made.model(row, gr.chain(len(row))) for row in rows])
    h, _ = made(x)
    assert_close(h if arguments["batch_first"] else h.transpose(0, 1), expected)
    is_module(made)


def there_and_back(made: Any, arguments: Arguments) -> None:
    x = torch.randn(2, 3, 2)
    module = arguments.get("module")
    if module is None:
        assert_close(gr.from_torch(made)(x)[0], made(x)[0])
        is_module(arguments["model"])
    else:
        assert_close(made(x)[0], module(x)[0])
        same(dict(gr.to_torch(made).state_dict()), dict(module.state_dict()))


RNNS = st.sampled_from([nn.RNN, nn.LSTM, nn.GRU])
MODELS: dict[str, Entry] = {
    "AR": Entry(given(outputs=width, lags=small), is_module),
    "Bidirectional": model_on(
        CHAINS, along=gru(), against=gru(), merge=st.sampled_from(["cat", "sum", "mean"])
    ),
    "DAGNN": model_on(strategies.nothing() | strategies.dags(), **WIDTHS, layers=small, both=truth),
    "DCRNN": graph_over_time("DCRNN"),
    "GConvGRU": graph_over_time("GConvGRU"),
    "GConvLSTM": graph_over_time("GConvLSTM"),
    "GNN": model_on(
        ANY,
        cells=st.builds(lambda: [gr.SAGECell(2, 3), gr.GCNCell(3, 3)]),
        jump=st.sampled_from([None, "cat", "max"]),
    ),
    "GRU": model_on(CHAINS, **WIDTHS),
    "LSTM": model_on(CHAINS, **WIDTHS, forget_bias=forget_bias),
    "LanguageModel": Entry(
        given(
            tokens=st.integers(2, 5),
            embedding=2,
            model=gru(2, 3),
            hidden=3,
            end=st.integers(0, 1),
            dropout=share,
        ),
        language,
    ),
    "Levelwise": model_on(
        strategies.nothing() | strategies.dags(), conv=st.builds(SAGEConv, st.just(2), st.just(2))
    ),
    "NARX": Entry(
        given(
            **WIDTHS, outputs=width, input_lags=st.integers(0, 2), output_lags=small, activation=activation
        ),
        is_module,
    ),
    "OverTime": Entry(
        given(cell=st.builds(gr.GConvGRUCell, st.just(2), st.just(2), st.just(2))),
        is_module,
    ),
    "PLSTM": Entry(
        given(
            inputs=width,
            hidden=st.sampled_from([2, 4]),
            heads=st.sampled_from([1, 2]),
            keys=st.none() | small,
            mode=st.sampled_from("PD"),
            arity=st.just(3),
        ),
        is_module,
    ),
    "PerRelation": Entry(given(edges=st.just([2, None, 3]), outputs=width, bias=truth), is_module),
    "RNTN": model_on(TREES, **WIDTHS, activation=activation),
    "RecNN": model_on(TREES, **WIDTHS, arity=st.just(2), activation=activation),
    "Recursive": model_on(
        DAGS, cell=st.builds(gr.TreeGRUCell, st.just(2), st.just(3)), cycles="iterate", rounds=small
    ),
    "Reversed": model_on(CHAINS, model=gru()),
    "SRN": model_on(CHAINS, **WIDTHS, activation=activation),
    "Seq2Seq": Entry(
        given(
            encoder=gru(2, 3),
            decoder=st.builds(gr.GRUCell, st.just(2), st.just(3)),
            source_tokens=width,
            target_tokens=st.integers(2, 4),
            embedding=2,
            start=0,
            end=1,
        ),
        seq2seq,
    ),
    "SequenceToClass": Entry(
        given(model=gru(2, 3), hidden=3, classes=width, readout=st.sampled_from(["last", "mean", "root"])),
        labelled("classes", lambda s: s.num_graphs),
    ),
    "SequenceToLabels": Entry(
        given(model=gru(2, 3), hidden=3, labels=width), labelled("labels", lambda s: s.num_nodes)
    ),
    "Sequences": Entry(given(model=gru(), batch_first=truth), padded),
    "Stacked": model_on(CHAINS, layers=st.builds(lambda: [gr.GRU(2, 3), gr.SRN(3, 2)]), dropout=share),
    "TDNN": model_on(CHAINS, **WIDTHS, window=st.integers(2, 4), activation=activation),
    "TreeGRU": model_on(DAGS, **WIDTHS),
    "TreeLSTM": model_on(TREES, **WIDTHS, arity=st.sampled_from([None, 2])),
    "UpDown": model_on(
        DAGS,
        up=st.builds(gr.TreeGRU, st.just(2), st.just(3)),
        down=st.builds(gr.TreeGRU, st.just(5), st.just(2)),
    ),
    "VariationalDropout": model_on(
        CHAINS, cell=st.builds(gr.LSTMCell, st.just(2), st.just(3)), dropout=share, recurrent_dropout=share
    ),
    "from_torch": Entry(
        given(module=st.builds(lambda kind, layers: kind(2, 3, layers, batch_first=True), RNNS, small)),
        there_and_back,
    ),
    "to_torch": Entry(
        given(
            model=st.builds(lambda kind: gr.Sequences(kind(2, 3)), st.sampled_from([gr.SRN, gr.LSTM, gr.GRU]))
        ),
        there_and_back,
    ),
}
