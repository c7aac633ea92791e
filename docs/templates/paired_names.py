"""A line of a docstring that describes several arguments, `h, c: [N, H] each.`, as a row for each of them."""

import re
from typing import Any

import griffe

SEVERAL = re.compile(r"^(    |        )(\w+(?:, \w+)+): (.+(?:\n\1 +.+)*)", re.MULTILINE)


class PairedNames(griffe.Extension):
    """Changes docstrings before they are parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Write a line for each name."""
        if obj.docstring:
            obj.docstring.value = SEVERAL.sub(
                lambda found: "\n".join(f"{found[1]}{name}: {found[3]}" for name in found[2].split(", ")),
                obj.docstring.value,
            )
