"""Settings for the policies of these tests, which are small."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from policies.compiler.common import identity_codes as codes


@pytest.fixture(scope="module", autouse=True)
def small_lists_have_bits() -> Iterator[None]:
    """Lists of two segments, some as one bit and some segment by segment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codes, "WORTH", 3)
        yield
