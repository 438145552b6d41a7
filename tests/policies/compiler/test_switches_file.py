"""The file that says which kind each switch is: what it means, what is refused, who follows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from console.cli import run
from policies.compiler.switches_file import Switches, SwitchSetting, read_switches
from policies.compiler.targets import LOSSES, SwitchTarget
from policies.language.errors import PolicyError
from topology.records import Link

SHOP = str(Path(__file__).parents[3] / "policies/examples/shop.yaml")


def read(tmp_path: Path, text: str) -> Switches:
    file = tmp_path / "switches.yaml"
    file.write_text(text)
    return read_switches(file)


def mistakes(tmp_path: Path, text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(PolicyError) as caught:
        read(tmp_path, text)
    return [(d.source.line, d.source.column, str(d)) for d in caught.value.diagnostics]


def test_a_switch_takes_from_the_default_what_it_does_not_say(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        "default: {table_size: 4000, port_masks: false}\n"
        "switches:\n"
        "  1: {kind: stateless, table_sizes: {policy: 2000}}\n"
        "  0x2A: {kind: single, table_size: 900, port_masks: true}\n"
        'links: ["1:9=0x2a:8"]\n',
    )
    one, other, third = (settings.of(switch) for switch in (1, 42, 3))
    assert (one.target, one.port_masks) == (SwitchTarget.STATELESS, False)
    sizes = one.sizes(SwitchTarget.STATELESS)
    assert sizes[9] == 2000 and set(sizes.values()) == {2000, 4000} and len(sizes) == 13
    assert (other.target, other.port_masks, other.sizes(SwitchTarget.SINGLE)) == (
        SwitchTarget.SINGLE,
        True,
        {0: 900},
    )
    assert third.kind is None and third.target is SwitchTarget.STATEFUL
    assert settings.links == (Link(1, 9, 42, 8),)


def test_nothing_said_is_nothing_limited(tmp_path: Path) -> None:
    for text in ("", "{}", "default: {}"):
        setting = read(tmp_path, text).of(7)
        assert setting.target is SwitchTarget.STATEFUL
        assert setting.sizes(SwitchTarget.STATEFUL) == {}
        assert set(SwitchSetting().sizes(SwitchTarget.SINGLE, 5).values()) == {5}


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("switches: {1: {kind: statless}}", (1, 22), "did you mean 'stateless'?"),
        ("switches: {1: {kinds: single}}", (1, 16), "did you mean 'kind'?"),
        ("swiches: {}", (1, 1), "did you mean 'switches'?"),
        ("switches: {one: {}}", (1, 12), "'one' is not a switch"),
        ("switches: {0: {}}", (1, 12), "write its datapath id"),
        ("switches: {18446744073709551616: {}}", (1, 12), "not a switch"),
        ("switches:\n  2: {}\n  0x2: {}", (3, 3), "'0x2' is given twice"),
        ("default: {table_size: 0}", (1, 23), "out of range"),
        ("default: {table_size: many}", (1, 23), "expected a number of rules"),
        ("default: {table_sizes: {polcy: 5}}", (1, 25), "did you mean 'policy'?"),
        (
            "switches: {1: {kind: single, table_sizes: {policy: 5}}}",
            (1, 44),
            "'policy' is no table of a single switch",
        ),
        ("links: [1-2]", (1, 9), "write SWITCH:PORT=SWITCH:PORT"),
        ('links: ["1:1=1:1"]', (1, 9), "both ends in one place"),
        ('links: ["1:1=2:1", "3:1=2:1"]', (1, 20), "port 1 of switch 2 has a cable already"),
        ("default: [", (2, 1), "not YAML"),
        ("- 1", (1, 1), "expected a switches file"),
    ],
)
def test_every_mistake_has_its_place(
    tmp_path: Path, text: str, place: tuple[int, int], words: str
) -> None:
    (found,) = mistakes(tmp_path, text + "\n")
    assert found[:2] == place and words in found[2]


def test_all_mistakes_are_said_at_once(tmp_path: Path) -> None:
    text = "default: {kind: x}\nswitches: {1: {table_size: -1}, x: {}}\nlinks: [a]\n"
    assert [line for line, _, _ in mistakes(tmp_path, text)] == [1, 2, 2, 3]


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    file = tmp_path / "switches.yaml"
    file.write_bytes(b"default: {}\n\xff\n")
    with pytest.raises(PolicyError, match=r"switches.yaml:2:1: error: not UTF-8"):
        read_switches(file)


@pytest.mark.thorough
def test_commands_follow_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "switches.yaml"
    file.write_text(
        "switches:\n  1: {kind: stateless, table_sizes: {policy: 3}}\n  2: {kind: single}\n"
        'links: ["1:77=2:77"]\n'
    )
    words = ["--switches", str(file)]
    assert run(["policy", "check", SHOP, *words]) == 0
    out = capsys.readouterr().out
    for target in (SwitchTarget.STATELESS, SwitchTarget.SINGLE):
        assert all(loss in out for loss in LOSSES[target])
    assert "switch 1 needs " in out and "in table policy, which holds 3 (most are for intent" in out
    assert "'app-to-db' cannot keep established connections on switches 1-2 " in out
    assert run(["policy", "check", SHOP, *words, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [(each["kind"], each["switches"]) for each in data["fallbacks"]] == [
        ("stateless", [1]),
        ("single", [2]),
    ]
    assert run(["policy", "compile", SHOP, "--switch", "1", *words]) == 1
    assert "table policy holds 3 rules" in capsys.readouterr().err
    assert run(["policy", "compile", SHOP, "--switch", "2", *words]) == 0
    capsys.readouterr()
    chosen = ["--target", "single", "--link", "1:77=2:77"]
    assert run(["policy", "compile", SHOP, "--switch", "2", *chosen]) == 0
    single = capsys.readouterr().out
    assert run(["policy", "compile", SHOP, "--switch", "2", *words]) == 0
    assert capsys.readouterr().out == single


@pytest.mark.parametrize("command", ["check", "compile", "diff", "verify"])
def test_a_missing_or_wrong_file_is_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    more = {"compile": ["--switch", "1"], "diff": [SHOP]}.get(command, [])
    missing = str(tmp_path / "none.yaml")
    assert run(["policy", command, SHOP, *more, "--switches", missing]) == 2
    assert capsys.readouterr().err == f"septum: --switches {missing}: no such file\n"
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("switches: 1\n")
    assert run(["policy", command, SHOP, *more, "--switches", str(wrong)]) == 1
    assert capsys.readouterr().err.startswith(f"{wrong}:1:11: error: expected switches")


def test_diff_counts_the_rules_of_each_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "switches.yaml"
    file.write_text("default: {kind: stateless}\nswitches: {1: {kind: single}}\n")
    assert run(["policy", "diff", SHOP, SHOP, "--switches", str(file)]) == 0
    out = capsys.readouterr().out
    assert "switch 1: 0 rules added or altered, 0 removed" in out
