"""Trees written as brackets, which `graphrec.tree` reads back."""

from __future__ import annotations

import graphrec as gr


def write(s: gr.Structure, labels: bool) -> str:
    """Brackets around every node but leaves that have no label; without labels around all."""
    children: list[list[int]] = [[] for _ in range(s.num_nodes)]
    for child, parent in zip(s.source.tolist(), s.target.tolist(), strict=True):
        children[parent].append(child)  # edges of a tree are listed by slots
    texts: list[str] = []
    for node, below in enumerate(children):
        label = s.labels[node] if s.labels else None
        token = s.tokens[node] if s.tokens else None
        own = [] if token is None else [_escaped(token)]
        if labels and label is None:
            texts.append(own[0])
        else:
            texts.append(f"( {' '.join([label or '', *own, *(texts[child] for child in below)])} )")
    return f" {texts[-1]}"  # a mark of the byte order at the beginning would not count


def _escaped(token: str) -> str:
    """A token as a word of the Penn Treebank that stands for it."""
    written, at = "", 0
    while at < len(token):
        char, after = token[at], token[at + 1 : at + 2]
        if char == "\\" and after and after not in "()\\/*":
            written, at = (
                written + char + after,
                at + 2,
            )  # a backslash takes along whatever follows, blanks, too
            continue
        written += f"\\{char}" if char in "()\\" else char
        at += 1
    return written
