"""Dependency trees in the format of Universal Dependencies, which the library conllu reads."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ..structure import Structure
from ..structure.checks import as_flag, as_texts
from ..structure.cycles import name_cycle, walk_to_cycle
from ..structure.written import shown

if TYPE_CHECKING:
    from conllu import TokenList


def from_conllu(
    source: str | os.PathLike[str] | TokenList | Iterable[TokenList],
    *,
    tokens: str = "form",
    labels: str | None = "upos",
    relations: Sequence[str] | None = None,
    enhanced: bool = False,
) -> list[Structure]:
    """The sentences of CoNLL-U, https://universaldependencies.org/format.html, each as a tree of its words.

    Node i is the i-th word, so that rows are in the order of the text. An edge leads from each word to its head, as in
    all trees here: a sweep ends at the root, and `s.reverse()` begins there. A head's slots are its dependents in the
    order of the text; the relation of an edge is its DEPREL.

    Multiword tokens (lines such as `1-2`) are no nodes: the words that they stand for have lines of their own. Empty
    nodes (`8.1`) are in no basic tree, but in the enhanced graph.

    Comments stay with the sentences. Where they matter, parse first:

        sentences = conllu.parse(text)
        trees = gr.io.from_conllu(sentences)
        ids = [sentence.metadata["sent_id"] for sentence in sentences]

    Universal relations without subtypes are made in the same way: `token["deprel"] = token["deprel"].split(":")[0]`.
    A `DependencyGraph` of nltk is read by `from_conllu(graph.to_conll(10))`.

    Args:
        source: a path, a text (which has line feeds or tabs, as no path does), a sentence that conllu has parsed, or
            any number of them.
        tokens, labels: which fields the structures' tokens and labels are, by conllu's names: form, lemma, upos, xpos.
        relations: the names of relations 0, 1, 2, …, kept as `relation_names`; by default those of these sentences,
            sorted. Sentences that are to be batched need the same list: give those of another part of a treebank the
            `relation_names` of the first.
        enhanced: the graphs of the field DEPS instead of trees: words may have several heads, and there may be cycles,
            which `async` runs refuse. Edges to head 0, of which there may be several, are left out.

    Raises:
        ImportError: conllu is not installed.
        FileNotFoundError: no such file.
        ValueError: what conllu cannot parse, words that are not numbered 1, 2, 3, …, a head that is missing or none of
            the words, no root or several, a cycle, a relation that is not in `relations`; with the sentence and, where
            it is known, the line.
    """
    enhanced = as_flag("enhanced", enhanced)
    for name, field in (("tokens", tokens), ("labels", labels)):
        if not isinstance(field, str) and not (name == "labels" and field is None):
            raise TypeError(f"{name} must be the name of a field, such as 'form', got {shown(field)}.")
    sentences = list(_sentences(source))
    graphs = [_read(sentence, enhanced) for sentence in sentences]
    given = None if relations is None else as_texts("relations", relations)
    names = (
        given if given is not None else tuple(sorted({name for graph in graphs for name in graph.relation}))
    )
    number = {name: i for i, name in enumerate(names)}
    made = []
    for sentence, graph in zip(sentences, graphs, strict=True):
        for name, node in zip(graph.relation, graph.source, strict=True):
            if name not in number:
                raise sentence.fault(
                    f"the relation {name!r} is none of relations={list(names)}", graph.nodes[node]
                )
        made.append(
            Structure(
                len(graph.nodes),
                torch.tensor([graph.source, graph.target], dtype=torch.long),
                relation=torch.tensor([number[name] for name in graph.relation], dtype=torch.long),
                relation_names=names,
                tokens=sentence.texts(tokens, graph.nodes),
                labels=None if labels is None else sentence.texts(labels, graph.nodes),
            )
        )
    return made


class _Sentence(NamedTuple):
    """A parsed sentence, and where it stands."""

    parsed: TokenList
    place: int  # which sentence, from 1 on
    lines: list[int] | None  # of each of its rows, where known

    def fault(self, what: str, row: int | None = None) -> ValueError:
        name = self.parsed.metadata.get("sent_id")
        where = f"sentence {self.place}" + (f" ({name})" if name else "")
        if row is not None and self.lines:
            where += f", line {self.lines[row]}"
        return ValueError(f"{where}: {what}. Mend it, or leave the sentence out.")

    def texts(self, field: str, rows: Sequence[int]) -> tuple[str | None, ...]:
        """A field of some rows."""
        found = []
        for row in rows:
            token = self.parsed[row]
            if field not in token or not isinstance(token[field], str | None):
                raise self.fault(f"the field {field!r} of {token.get('form')!r} is missing, or no text", row)
            found.append(token[field])
        return tuple(found)


class _Graph(NamedTuple):
    """Which rows of a sentence are nodes, and the edges between these, in the order of their sources."""

    nodes: list[int]
    source: list[int]
    target: list[int]
    relation: list[str]


def _sentences(source: Any) -> Iterator[_Sentence]:
    try:
        import conllu
    except ImportError as error:
        raise ImportError(
            "CoNLL-U is read by the library conllu, which is not installed: pip install 'graphrec[conllu]'."
        ) from error
    if isinstance(source, conllu.TokenList):
        source = [source]
    if isinstance(source, str | os.PathLike):
        yield from _parsed(_text(source))
        return
    if not isinstance(source, Iterable) or not getattr(source, "ndim", 1):
        raise TypeError(f"expected a path, a text or sentences of conllu, got {type(source).__name__}.")
    for place, sentence in enumerate(source, start=1):
        if not isinstance(sentence, conllu.TokenList):
            raise TypeError(
                f"expected sentences as conllu.parse gives them, got {type(sentence).__name__} in place {place}."
            )
        yield _Sentence(sentence, place, None)


def _text(source: str | os.PathLike[str]) -> str:
    if isinstance(source, str) and (not source.strip() or "\n" in source or "\t" in source):
        return source.removeprefix("\ufeff")
    path = Path(source).expanduser()
    try:
        is_file = path.is_file()
    except OSError:  # longer than a path may be
        is_file = False
    if not is_file:
        raise FileNotFoundError(
            f"expected a text in the format of CoNLL-U or the path of a file, got {str(path)[:200]!r}."
        )
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}, line {line}: expected UTF-8 text, got another encoding.") from error


def _parsed(text: str) -> Iterator[_Sentence]:
    """What conllu makes of a text, each sentence with the lines of its rows."""
    import conllu
    from conllu.exceptions import ParseException

    parsed = iter(conllu.parse_incr(io.StringIO(text)))
    for place, lines in enumerate(_rows(text), start=1):
        try:
            sentence = next(parsed)
        except ParseException as error:
            where = f"line {lines[0]}" if len(lines) == 1 else f"lines {lines[0]} to {lines[-1]}"
            raise ValueError(
                f"sentence {place}, {where}: {error} Mend it, or leave the sentence out."
            ) from error
        yield _Sentence(sentence, place, lines)


def _rows(text: str) -> Iterator[list[int]]:
    """Of each sentence, the lines that are no comments, counted from 1."""
    found: list[int] | None = None
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        if not line.strip():
            if found is not None:
                yield found
            found = None
            continue
        found = [] if found is None else found
        if not line.startswith("#"):
            if "\t" in line and (blanks := re.search(" {2,}", line)):
                raise ValueError(
                    f"line {number}: two blanks in a row at position {blanks.start()}, which conllu takes for a tab: "
                    f"leave out one of them."
                )
            found.append(number)


def _read(sentence: _Sentence, enhanced: bool) -> _Graph:
    ids = [token.get("id") for token in sentence.parsed]
    if None in ids:
        raise sentence.fault("expected a number for each row, got none", ids.index(None))
    words = [row for row, name in enumerate(ids) if isinstance(name, int)]
    for expected, row in enumerate(words, start=1):
        if ids[row] != expected:
            raise sentence.fault(f"expected words numbered 1, 2, 3, …, got {ids[row]} for {expected}", row)
    if not words:
        raise sentence.fault("expected words, got none")
    if not enhanced:
        return _basic(sentence, words)
    empty = [row for row, name in enumerate(ids) if isinstance(name, tuple) and name[1] == "."]
    return _enhanced(sentence, sorted(words + empty))


def _basic(sentence: _Sentence, words: list[int]) -> _Graph:
    source, target, relation = [], [], []
    for node, row in enumerate(words):
        token = sentence.parsed[row]
        head, name = token.get("head"), token.get("deprel")
        if head is None or not 0 <= head <= len(words):
            has = "no head" if head is None else f"head {head}"
            expected = f"expected 0 or one of the {len(words)} words"
            raise sentence.fault(f"word {node + 1}, {token.get('form')!r}, has {has}, {expected}", row)
        if not name:
            raise sentence.fault(
                f"word {node + 1}, {token.get('form')!r}, has a head and no relation to it", row
            )
        if head:
            source.append(node)
            target.append(head - 1)
            relation.append(name)
    _check_tree(sentence, dict(zip(source, target, strict=True)), words)
    return _Graph(words, source, target, relation)


def _check_tree(sentence: _Sentence, head: dict[int, int], words: list[int]) -> None:
    roots = [node for node in range(len(words)) if node not in head]
    if len(roots) > 1:
        named = ", ".join(str(root + 1) for root in roots)
        raise sentence.fault(
            f"expected one root, the word whose head is 0, got words {named}", words[roots[1]]
        )
    dependents: list[list[int]] = [[] for _ in words]
    for node, above in head.items():
        dependents[above].append(node)
    reached = list(roots)
    for node in reached:  # which grows
        reached += dependents[node]
    lost = set(range(len(words))).difference(reached)
    if lost:
        cycle = walk_to_cycle(min(lost), head.__getitem__)
        named = name_cycle([node + 1 for node in cycle])
        raise sentence.fault(
            f"expected a tree, but the heads of its words go round: {named}", words[cycle[0]]
        )


def _enhanced(sentence: _Sentence, nodes: list[int]) -> _Graph:
    number = {sentence.parsed[row]["id"]: node for node, row in enumerate(nodes)}
    source, target, relation = [], [], []
    for node, row in enumerate(nodes):
        token = sentence.parsed[row]
        for name, head in _dependencies(sentence, token.get("deps"), row):
            if head == 0:
                continue
            if head not in number:
                got = head if isinstance(head, int) else "".join(map(str, head))
                raise sentence.fault(
                    f"DEPS of {token.get('form')!r} names a head that is not there, {got}", row
                )
            source.append(node)
            target.append(number[head])
            relation.append(name)
    return _Graph(nodes, source, target, relation)


def _dependencies(sentence: _Sentence, deps: Any, row: int) -> list[tuple[str, Any]]:
    """Of each head its relation and its id. What conllu cannot take apart it hands on as a text."""
    if isinstance(deps, list):
        return deps
    what = "no DEPS, of which the enhanced graph is made" if deps is None else f"DEPS {deps!r}"
    expected = "expected heads with their relations, such as 4:nsubj|6:conj:and"
    raise sentence.fault(f"{sentence.parsed[row].get('form')!r} has {what}, {expected}", row)
