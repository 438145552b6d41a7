"""Whatever bytes a policy file holds, reading it ends soon, with findings and no traceback."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.language.errors import Findings, render
from policies.language.nodes import Budget, Composer
from policies.language.reader import ReadResult, read_policy
from policies.review.lint import check_policy
from policies.semantics.membership import Membership

EXAMPLES = Path(__file__).parents[3] / "policies" / "examples"
SHOP = (EXAMPLES / "shop.yaml").read_bytes()
LAB = (EXAMPLES / "lab.yaml").read_bytes()
WORDS = [
    b'&a ', b'*a', b'<<: *a', b'{', b'}', b'[', b']', b': ', b'- ', b'\n', b'\n  ', b'!!str ',
    b'!!binary ', b'? ', b'|', b'>', b'"', b"'", b'\x00', b'\xff', b'\xc2\x85', b'\xe2\x80\xa8',
    b'%YAML 1.1\n', b'---\n', b'...\n', b'~', b'0x1F', b'1e999', b'-1', b'tcp/1-99999', b'any',
    b'hosts:', b'segments:', b'intents:', b'\xf0\x9f\x92\xa3', b'\t', b'#', b'null',
    b'0.0.0.0/0', b'::/0', b'999999999999999999999999999999',
]  # fmt: skip


def survive(data: bytes, name: str = "p.yaml") -> ReadResult:
    """Read ``data`` as a policy and do with the result all that a command would."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(data)
        result = read_policy([file])
    for diagnostic in result.diagnostics:
        shown = render(diagnostic, result.texts)
        assert all(line.isprintable() for line in shown.split("\n"))
    if result.policy is None:
        assert result.errors
    else:
        assert not result.errors
        check_policy(result.policy, Membership(result.policy), 0.0)
    return result


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    survive(data)
    survive(data, "hosts.csv")


@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    survive(text.encode("utf-8", "surrogatepass"))


@given(st.lists(st.sampled_from(WORDS), max_size=60))
def test_yaml_words_in_any_order(words: list[bytes]) -> None:
    survive(b"".join(words))


@settings(max_examples=150)
@given(
    st.sampled_from([SHOP, LAB]),
    st.lists(
        st.tuples(
            st.integers(0, len(SHOP)),
            st.integers(0, 12),
            st.one_of(st.sampled_from(WORDS), st.binary(max_size=4)),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_a_good_policy_with_pieces_torn_out_and_put_in(
    whole: bytes, wounds: list[tuple[int, int, bytes]]
) -> None:
    for place, gone, piece in wounds:
        whole = whole[:place] + piece + whole[place + gone :]
    survive(whole)


@given(
    st.lists(
        st.sampled_from(
            [b",", b"\n", b'"', b"name", b"ip", b";", b"10.0.0.1", b"a=b", b"\r", b"x", b"\0"]
        ),
        max_size=40,
    )
)
def test_any_inventory(pieces: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "hosts.csv").write_bytes(b"".join(pieces))
        main = Path(folder) / "p.yaml"
        main.write_text("apiVersion: septum/v1\nkind: SegmentPolicy\ninclude: hosts.csv\n")
        result = read_policy([main])
    assert (result.policy is None) == bool(result.errors)


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
SECTIONS = [
    "apiVersion", "kind", "metadata", "include", "hosts", "segments", "services", "intents",
    "defaults", "adaptive", "feeds", "tests",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(SECTIONS), values, max_size=5))
def test_wrong_types_anywhere(document: dict[str, object]) -> None:
    survive(yaml.safe_dump(document, allow_unicode=True).encode())


def codes(data: bytes) -> set[str]:
    return {diagnostic.code for diagnostic in survive(data).diagnostics}


def bomb(levels: int) -> bytes:
    lines = [b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for n in range(1, levels):
        refs = b", ".join([b"*a%d" % (n - 1)] * 10)
        lines.append(b"a%d: &a%d [%s]" % (n, n, refs))
    return b"\n".join(lines)


def test_a_billion_laughs_are_cut_short_at_the_alias_that_is_too_much() -> None:
    (error,) = (e for e in survive(bomb(9)).errors if e.code == "size")
    assert "16 MiB" in error.message
    assert error.source.line == 7  # 10**7 entries fit in no 16 MiB
    assert "size" not in codes(bomb(5))


def test_sizes_are_counted_over_all_aliases_and_files() -> None:
    def compose(limit: int) -> list[str]:
        findings = Findings()
        text = "a: &a [1234567890]\nb: [*a, *a, *a]\n"
        Composer(text, "p", findings, Budget(limit)).compose()
        return [d.code for d in findings.sorted()]

    assert compose(65) == []
    assert compose(50) == ["size"]


@pytest.mark.parametrize("opening", [b"[", b"{a: ", b"- ", b"? "])
def test_deep_nesting_is_refused(opening: bytes) -> None:
    assert "nesting" in codes(opening * 100_000)


def test_deep_nesting_by_aliases_is_only_an_unknown_key() -> None:
    lines = [b"k0: &k0 [x]"] + [b"k%d: &k%d [*k%d]" % (n, n, n - 1) for n in range(1, 2000)]
    assert codes(b"\n".join(lines)) >= {"unknown-key"}


def test_more_than_16_mib_is_refused() -> None:
    assert codes(b"# comment\n" * 1_700_000) == {"unreadable"}


def test_a_flood_of_errors_is_cut(tmp_path: Path) -> None:
    data = b"hosts:\n" + b"".join(b" h%d: {vlna: 1}\n" % n for n in range(3000))
    result = survive(data)
    assert len(result.diagnostics) < 1100
    assert "more errors are not shown" in result.diagnostics[-1].message


@pytest.mark.parametrize(
    "names", ["a\0b.yaml", "/dev/zero", "../" * 3000, "x" * 5000, "\ud800.yaml"]
)
def test_odd_paths(names: str) -> None:
    result = read_policy([names])
    assert result.policy is None
    assert [d.code for d in result.errors] == ["unreadable"]
    assert all(render(d, result.texts).encode() for d in result.diagnostics)
