"""The glossary: sorted, one row a term, each term used in the module that its row names."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| (.+?) \| .+ \| `([\w./]+)` \|$",
    (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"),
    re.M,
)


def test_the_terms_are_sorted_and_each_has_one_row() -> None:
    terms = [term for term, _ in ROWS]
    assert len(terms) > 50
    assert terms == sorted(set(terms))


def test_every_row_of_the_table_names_a_module() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^\| ", page, re.M)) == len(ROWS) + 2  # the heading and its rule


def test_every_term_is_used_in_the_module_that_its_row_names() -> None:
    """Words may be joined as identifiers join them: ``raw_score``, ``RawScore``."""
    unused = [
        (term, module)
        for term, module in ROWS
        if not re.search(
            "[ _-]?".join(re.split("[ -]", term)),
            module + (ROOT / module).read_text(encoding="utf-8").replace("\n", " "),
            re.I,
        )
    ]
    assert unused == []
