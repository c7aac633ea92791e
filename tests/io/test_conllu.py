"""Dependency trees of CoNLL-U: by hand, against an independent reading of a treebank, and what is refused."""

import os
import sys
from pathlib import Path

import conllu
import pytest
import torch

import graphrec as gr
from graphrec.io import from_conllu

TREEBANK = Path(os.environ.get("GRAPHREC_DATA", "")) / "conllu" / "en_pud_150.conllu"


def rows(*lines: str) -> str:
    """A sentence whose rows say id, form, UPOS, head, relation and DEPS, with blanks between them."""
    written = []
    for line in lines:
        if line.startswith("#"):
            written.append(line)
            continue
        number, form, upos, head, relation, deps = (*line.split(), "_", "_", "_")[:6]
        written.append("\t".join([number, form, form.lower(), upos, "_", "_", head, relation, deps, "_"]))
    return "\n".join(written) + "\n\n"


# From the documentation of the format: two multiword tokens, and an empty node.
VAMONOS = rows(
    "# sent_id = es-1",
    "1-2 vámonos _",
    "1 vamos VERB 0 root",
    "2 nos PRON 1 obj",
    "3-4 al _",
    "3 a ADP 5 case",
    "4 el DET 5 det",
    "5 mar NOUN 1 obl",
)
SUE = rows(
    "# sent_id = en-1",
    "1 Sue PROPN 2 nsubj 2:nsubj",
    "2 likes VERB 0 root 0:root",
    "3 coffee NOUN 2 obj 2:obj",
    "4 and CCONJ 5 cc 5.1:cc",
    "5 Bill PROPN 2 conj 5.1:nsubj",
    "5.1 likes VERB _ _ 2:conj:and",
    "6 tea NOUN 5 orphan 5.1:obj",
)


def edges(s: gr.Structure) -> dict[tuple[str, str], str]:
    """Relations by dependent and head."""
    assert s.tokens is not None
    assert s.relation is not None
    assert s.relation_names is not None
    return {
        (s.tokens[source], s.tokens[target]): s.relation_names[relation]
        for source, target, relation in zip(*s.edge_index.tolist(), s.relation.tolist(), strict=True)
    }


def test_multiword_tokens_are_no_nodes() -> None:
    (s,) = from_conllu(VAMONOS)
    assert s.tokens == ("vamos", "nos", "a", "el", "mar")
    assert s.labels == ("VERB", "PRON", "ADP", "DET", "NOUN")
    assert edges(s) == {
        ("nos", "vamos"): "obj",
        ("a", "mar"): "case",
        ("el", "mar"): "det",
        ("mar", "vamos"): "obl",
    }
    assert s.slot.tolist() == [0, 0, 1, 1], "a head's dependents are its slots, in the order of the text"
    assert gr.levels(s).tolist() == [2, 0, 0, 0, 1]


def test_empty_nodes_are_in_the_enhanced_graph_alone() -> None:
    (s,) = from_conllu(SUE)
    assert s.tokens == ("Sue", "likes", "coffee", "and", "Bill", "tea")
    assert s.edge_index.tolist() == [[0, 2, 3, 4, 5], [1, 1, 4, 1, 4]]
    (s,) = from_conllu(SUE, enhanced=True)
    assert s.tokens == ("Sue", "likes", "coffee", "and", "Bill", "likes", "tea")
    assert s.edge_index.tolist() == [[0, 2, 3, 4, 5, 6], [1, 1, 5, 5, 1, 5]]
    assert s.relation_names == ("cc", "conj:and", "nsubj", "obj")
    assert s.relation is not None
    assert s.relation.tolist() == [2, 3, 0, 2, 1, 3]


def test_words_of_an_enhanced_graph_may_have_several_heads_and_go_round() -> None:
    (s,) = from_conllu(
        rows("1 a X 0 root 0:root|2:ref", "2 b X 1 x 1:x|1:y", "3 c X 1 x 0:root"), enhanced=True
    )
    assert s.edge_index.tolist() == [[0, 1, 1], [1, 0, 0]]
    with pytest.raises(gr.CycleError, match="there is a cycle: 1 → 0 → 1"):
        gr.schedule(s)


def test_sources_of_all_kinds_say_the_same(tmp_path: Path) -> None:
    text = VAMONOS + SUE
    path = tmp_path / "two.conllu"
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    expected = from_conllu(text)
    assert len(expected) == 2
    parsed = conllu.parse(text)
    for source in (path, str(path), parsed, iter(parsed), list(parsed), text.rstrip(), f"\n\n{text}\n\n"):
        found = from_conllu(source)
        assert found == expected
        assert [s.relation_names for s in found] == [
            ("case", "cc", "conj", "det", "nsubj", "obj", "obl", "orphan")
        ] * 2
    assert from_conllu(parsed[1])[0].edge_index.tolist() == expected[1].edge_index.tolist()
    assert from_conllu("") == from_conllu(" \n\n") == from_conllu([]) == []


def test_the_documentation_of_nltk_is_followed() -> None:
    nltk = pytest.importorskip("nltk")
    graph = nltk.DependencyGraph("a\tDT\t2\tdet\nlion\tNN\t3\tnsubj\nsleeps\tVB\t0\tROOT\n")
    (s,) = from_conllu(graph.to_conll(10))
    assert edges(s) == {("a", "lion"): "det", ("lion", "sleeps"): "nsubj"}


def test_fields_and_relations_are_the_callers_choice() -> None:
    (s,) = from_conllu(
        VAMONOS, tokens="lemma", labels="xpos", relations=["root", "obl", "obj", "det", "case"]
    )
    assert s.tokens == ("vamos", "nos", "a", "el", "mar")
    assert s.labels == (None,) * 5
    assert s.relation is not None
    assert s.relation.tolist() == [2, 4, 3, 1]
    assert from_conllu(VAMONOS, labels=None)[0].labels is None
    one, two = (
        from_conllu(VAMONOS)[0],
        from_conllu(SUE, relations=from_conllu(VAMONOS + SUE)[0].relation_names)[0],
    )
    with pytest.raises(ValueError, match="relation_names"):
        gr.batch([one, two])


def test_a_sentence_without_edges_is_one() -> None:
    (s,) = from_conllu(rows("1 Yes INTJ 0 root"))
    assert (s.num_nodes, s.num_edges, s.relation_names) == (1, 0, ())
    batch = gr.batch(from_conllu(rows("1 Yes INTJ 0 root") + VAMONOS))
    assert gr.TreeLSTM(3, 4)(torch.zeros(6, 3), batch).shape == (6, 4)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["1 a X 2 x", "2 b X _ _"],
            r"sentence 2 \(s\), line 13: word 2, 'b', has no head, expected 0 or one of",
        ),
        (
            ["1 a X 0 root", "2 b X 3 x"],
            r"line 13: word 2, 'b', has head 3, expected 0 or one of the 2 words",
        ),
        (["1 a X 0 root", "2 b X -1 x"], r"line 13: word 2, 'b', has head -1"),
        (
            ["1 a X 0 root", "2-3 bc _", "2 b X 1 x", "3 c X 0 root"],
            r"line 15: expected one root, .* words 1, 3",
        ),
        (["1 a X 0 root", "2 b X 3 x", "3 c X 2 x"], r"line 13: expected a tree, .* go round: 2 → 3 → 2"),
        (["1 a X 1 x"], r"line 12: expected a tree, .* go round: 1 → 1"),
        (["1 a X 2 x", "2 b X 3 x", "3 c X 1 x"], r"line 12: .* go round: 1 → 2 → 3 → 1"),
        (["1 a X 0 root", "3 b X 1 x"], r"line 13: expected words numbered 1, 2, 3, …, got 3 for 2"),
        (["1 a X 0 root", "1 b X 1 x"], r"line 13: expected words numbered 1, 2, 3, …, got 1 for 2"),
        (["1-2 ab _"], r"sentence 2 \(s\): expected words, got none"),
        (["_ a X 0 root"], r"line 12: expected a number for each row"),
        ([], r"sentence 2 \(s\): expected words, got none"),
        (["x a X 0 root"], r"sentence 2, line 12: Failed parsing field 'id'"),
        (["1 a X zero root"], r"sentence 2, line 12: Failed parsing field 'head'"),
    ],
)
def test_what_is_no_tree_is_refused_with_sentence_and_line(lines: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_conllu(VAMONOS + "\n" + rows("# sent_id = s", *lines))


@pytest.mark.parametrize(
    ("deps", "message"),
    [
        ("_", r"line 2: 'a' has no DEPS, of which the enhanced graph is made"),
        ("7:x", r"line 2: DEPS of 'a' names a head that is not there, 7"),
        ("1.1:x", r"DEPS of 'a' names a head that is not there, 1\.1"),
        ("nonsense", r"line 2: 'a' has DEPS 'nonsense', expected heads with their relations"),
    ],
)
def test_an_enhanced_graph_that_is_none_is_refused(deps: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_conllu(rows("# c", f"1 a X 0 root {deps}"), enhanced=True)
    assert len(from_conllu(rows("# c", f"1 a X 0 root {deps}"))) == 1


def test_what_cannot_be_used_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"line 4: the relation 'obj' is none of relations=\['nsubj'\]"):
        from_conllu(VAMONOS, relations=["nsubj"])
    with pytest.raises(ValueError, match=r"line 3: the field 'feats' of 'vamos' is missing, or no text"):
        from_conllu(VAMONOS.replace("vamos\tVERB\t_\t_", "vamos\tVERB\t_\tNumber=Plur"), labels="feats")
    with pytest.raises(ValueError, match=r"the field 'word' of 'vamos' is missing, or no text"):
        from_conllu(VAMONOS, tokens="word")
    with pytest.raises(ValueError, match=r"line 3: two blanks in a row at position 7"):
        from_conllu(VAMONOS.replace("1\tvamos", "1\tvamos  ya"))
    with pytest.raises(
        FileNotFoundError, match=r"a text in the format of CoNLL-U or the path .*, got '.*none\.conllu'"
    ):
        from_conllu(tmp_path / "none.conllu")
    with pytest.raises(FileNotFoundError, match=r"or the path of a file, got 'a{200}'"):
        from_conllu("a" * 5000)
    with pytest.raises(FileNotFoundError, match=r"got 'Sue likes coffee'"):
        from_conllu("Sue likes coffee")
    (tmp_path / "latin").write_bytes("# é\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin, line 1: expected UTF-8 text"):
        from_conllu(tmp_path / "latin")
    with pytest.raises(TypeError, match=r"expected a path, a text or sentences of conllu, got int"):
        from_conllu(3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=r"sentences as conllu\.parse gives them, got str in place 1"):
        from_conllu([VAMONOS])  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"sentence 1 \(es-1\): the relation 'obj' is none"):
        from_conllu(conllu.parse(VAMONOS), relations=[])
    monkeypatch.setitem(sys.modules, "conllu", None)
    with pytest.raises(ImportError, match=r"pip install 'graphrec\[conllu\]'"):
        from_conllu(VAMONOS)


def test_a_long_sentence_takes_no_quadratic_time() -> None:
    count = 20_000
    text = rows(*(f"{i} w X {i - 1} x" for i in range(1, count + 1)))
    (s,) = from_conllu(text)
    assert s.num_edges == count - 1


@pytest.mark.skipif(not TREEBANK.is_file(), reason="needs a treebank in the folder that GRAPHREC_DATA names")
@pytest.mark.parametrize("enhanced", [False, True])
def test_a_treebank_is_what_its_lines_say(enhanced: bool) -> None:
    """Read by hand: columns are split at tabs, and rows are found by their ids."""
    found = from_conllu(TREEBANK, enhanced=enhanced)
    assert len(found) == 150
    blocks = TREEBANK.read_text(encoding="utf-8").strip("\n").split("\n\n")
    names = set()
    for s, block in zip(found, blocks, strict=True):
        table = [line.split("\t") for line in block.split("\n") if not line.startswith("#")]
        table = [row for row in table if "-" not in row[0] and (enhanced or "." not in row[0])]
        assert s.tokens == tuple(row[1] for row in table)
        assert s.labels == tuple(row[3] for row in table)
        place = {row[0]: i for i, row in enumerate(table)}
        expected = []
        for i, row in enumerate(table):
            for head, name in (
                [dep.split(":", 1) for dep in row[8].split("|")] if enhanced else [(row[6], row[7])]
            ):
                if head != "0":
                    expected.append((i, place[head], name))
        assert s.relation is not None
        assert s.relation_names is not None
        got = [
            (a, b, s.relation_names[r])
            for a, b, r in zip(*s.edge_index.tolist(), s.relation.tolist(), strict=True)
        ]
        assert got == expected
        names |= {name for _, _, name in expected}
        if not enhanced:
            assert s.num_edges == s.num_nodes - 1
    assert found[0].relation_names == tuple(sorted(names))
    assert any("-" in line.split("\t")[0] for line in TREEBANK.read_text(encoding="utf-8").splitlines())
