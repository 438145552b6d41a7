"""What tcpdump writes of real connections is read back as those connections."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from topology.readers import RecordReader

# All in a network namespace of its own, gone with the last of its programs.
SCRIPT = """
ip link set lo up
tcpdump -i {link} -U --immediate-mode -Z root -w "$1" -s {snap} 2> "$1.log" & dump=$!
until grep -q listening "$1.log"; do sleep 0.05; done
ncat -l 127.0.0.1 7001 > "$1.got" & ncat -6 -l ::1 7002 > /dev/null & sleep 0.2
printf hello | ncat --send-only 127.0.0.1 7001
printf hello | ncat --send-only ::1 7002
ncat -w 1 127.0.0.1 7003 < /dev/null 2> /dev/null
printf hello | ncat -u --send-only 127.0.0.1 7004
ping -q -c 2 -i 0.2 127.0.0.1 > /dev/null
before=; now=first
for try in $(seq 40); do
    [ "$before" = "$now" ] && [ "$now" -gt 1000 ] && break
    before=$now; sleep 0.3; now=$(stat -c %s "$1")
done
kill $dump; wait $dump 2> /dev/null
cat "$1.got"
"""


@pytest.mark.parametrize(("link", "snap"), [("lo", 262_144), ("any", 96)])
def test_a_capture_by_tcpdump(link: str, snap: int, tmp_path: Path) -> None:
    path = tmp_path / "lo.pcap"
    command = ["unshare", "-n", "sh", "-c", SCRIPT.format(link=link, snap=snap), "sh", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "hello"
    reader = RecordReader(path)
    found = {record.service: record for record in reader}
    states = {service: record.state for service, record in found.items()}
    assert reader.bad == 0, reader.problems
    assert states == {
        "tcp/7001": "established",
        "tcp/7002": "established",
        "tcp/7003": "rejected",
        "udp/7004": "rejected",  # by ICMP: nobody listens there
        "icmp/8": "established",
    }
    whole, six, ping = found["tcp/7001"], found["tcp/7002"], found["icmp/8"]
    assert (six.src_ip, six.dst_ip) == ("::1", "::1")
    assert whole.packets_out is not None and whole.packets_out >= 4
    assert whole.bytes_out is not None and whole.bytes_out > whole.packets_out * 40 + 5
    assert (ping.packets_out or 0) + (ping.packets_in or 0) in (4, 8)  # `any` may see both ends
