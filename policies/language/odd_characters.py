"""Characters that look like others, or like nothing: why a text that looks right is not read."""

from __future__ import annotations

import re
import unicodedata

_ODD = re.compile(
    "[\u00a0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff\u00ad"  # spaces, marks
    "\u2010-\u2015\u2212\uff0d"  # dashes
    "\u2018-\u201f\u00ab\u00bb\uff02\uff07"  # quotation marks
    "\uff1a\uff0c\uff1b\uff3b\uff3d\uff5b\uff5d]"  # full-width signs
)
_TAB = re.compile(r"[ ]*\t")


def odd_character(text: str, last: int) -> tuple[int, int, str] | None:
    """The first odd character up to line ``last``: its line and column from 1, and its name.

    A comment may hold any, and so may what is behind it.
    """
    for number, line in enumerate(text.split("\n")[:last], 1):
        if _TAB.match(line) and line.strip():
            return number, line.index("\t") + 1, "a tab as indentation; write spaces"
        found = _ODD.search(line.partition(" #")[0])
        if found is not None and not line.lstrip().startswith("#"):
            name = unicodedata.name(found[0], "a character without a name").lower()
            return number, found.start() + 1, f"{name} (U+{ord(found[0]):04X})"
    return None
