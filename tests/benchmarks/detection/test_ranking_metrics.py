from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.detection.metrics import rank, rank_few

PAIRS = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40).filter(
    lambda pairs: 0 < sum(label for _, label in pairs) < len(pairs)
)


@given(PAIRS)
def test_auc_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[int, bool]]) -> None:
    up = [s for s, label in pairs if label]
    down = [s for s, label in pairs if not label]
    right = sum((a > b) + (a == b) / 2 for a in up for b in down)
    found = rank([float(s) for s, _ in pairs], [label for _, label in pairs])
    assert found.auc == pytest.approx(right / (len(up) * len(down)))


def test_perfect_and_constant_scores() -> None:
    labels = [True] * 3 + [False] * 7
    perfect = rank([9.0] * 3 + [1.0] * 7, labels)
    assert (perfect.auc, perfect.average_precision, perfect.tpr_at[1e-3]) == (1.0, 1.0, 1.0)
    constant = rank([1.0] * 10, labels)
    assert (constant.auc, constant.average_precision, constant.tpr_at[1e-2]) == (0.5, 0.3, 0.0)


def test_one_kind_of_label_cannot_be_ranked() -> None:
    with pytest.raises(ValueError):
        rank([1.0], [True])


def test_ties_across_the_line_are_told_apart_from_what_is_won() -> None:
    tied = rank([1.0] * 10, [True] * 3 + [False] * 7)
    assert (tied.tpr_at[1e-2], tied.tpr_lucky[1e-2]) == (0.0, 1.0)
    clear = rank([float(i) for i in range(10)], [i >= 8 for i in range(10)])
    assert clear.tpr_at == clear.tpr_lucky == {1e-2: 1.0, 1e-3: 1.0}


@given(PAIRS)
def test_both_ways_to_rank_agree(pairs: list[tuple[int, bool]]) -> None:
    slow = rank([float(s) for s, _ in pairs], [label for _, label in pairs], (0.1, 0.3))
    up = [float(s) for s, label in pairs if label]
    down = sorted(float(s) for s, label in pairs if not label)
    quick = rank_few(up, down, (0.1, 0.3))
    assert quick.auc == pytest.approx(slow.auc)
    assert quick.average_precision == pytest.approx(slow.average_precision)
    assert (quick.tpr_at, quick.tpr_lucky) == (slow.tpr_at, slow.tpr_lucky)
