"""Recording packets on lab hosts with tcpdump: one file a host, kernel time stamps."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from mininet_tests.lab.captures import RecordedFrame, read_pcap
from mininet_tests.lab.lab import Lab
from mininet_tests.lab.plan import LabError

SNAP = 128  # bytes kept of a frame: every header, no payload
_FILE_HEADER = 24


class InterfaceRecorder:
    """Records what passes the hosts' interfaces until `stop`; both directions."""

    def __init__(self, lab: Lab, hosts: Sequence[str], ports: Sequence[int]) -> None:
        """Only ARP and TCP from or to ``ports`` is kept."""
        self._lab = lab
        wanted = " or ".join(f"tcp port {port}" for port in ports)
        self._running: dict[str, tuple[subprocess.Popen[str], Path]] = {}
        for name in hosts:
            host = lab.host(name)
            path = host.directory / "packets.pcap"
            argv = ["tcpdump", "-i", "eth0", "-n", "-U", "-s", str(SNAP), "-Z", "root"]
            process = host.start([*argv, "-w", str(path), f"arp or {wanted}"])
            self._running[name] = (process, path)
        self._wait_recording()

    def _wait_recording(self, timeout: float = 10.0) -> None:
        deadline = time.monotonic() + timeout
        for name, (process, path) in self._running.items():
            while not path.exists() or path.stat().st_size < _FILE_HEADER:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise LabError(f"tcpdump does not record on {name}")
                time.sleep(0.02)

    def packets(self) -> dict[str, list[RecordedFrame]]:
        """What each host saw so far."""
        return {
            name: list(read_pcap(path.read_bytes())) for name, (_, path) in self._running.items()
        }

    def stop(self) -> dict[str, list[RecordedFrame]]:
        """End the recording; what each host saw."""
        for process, _ in self._running.values():
            self._lab.processes.stop(process)
        return self.packets()
