"""The same connections, however they were recorded and read, are the same connections."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.support.readings import answers
from tests.support.recordings import spoken
from topology.readers import read_records


@given(st.integers(0, 10**9))
def test_all_readers_give_one_answer(seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = answers(seed, Path(folder))
    expected = Counter(
        f"{each.src} {each.dst} {each.number}/{each.types[0] if each.ping else each.dport}"
        for each in spoken(seed)
    )
    assert {name for name, each in found.items() if each != expected} == set()


def test_protocols_without_ports_keep_their_direction(tmp_path: Path) -> None:
    path = tmp_path / "gre.csv"
    path.write_text(
        "firstSeen,duration,proto,srcAddr,srcPort,dstAddr,dstPort,packets,bytes,flows\n"
        "1700000000,1.0,GRE,10.0.0.1,0,10.0.0.2,0,4,300,1\n"
    )
    (record,) = read_records(path)
    assert (record.src_ip, record.dst_ip, record.packets_out) == ("10.0.0.1", "10.0.0.2", 4)
