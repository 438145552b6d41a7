"""The prover's process: it answers over its socket, and ends with it."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from policies.compiler import SwitchView
from policies.compiler.targets import Form
from policies.language.reader import read_policy
from proving.options import MODULE, arguments
from response.ipc.framing import Decoder, encode
from response.ipc.messages import ProofFound, ProofWanted
from response.state.policy_versions import Versions

EXAMPLE = Path(__file__).parents[2] / "policies/examples/shop.yaml"


def test_it_answers_and_ends_when_its_socket_closes(tmp_path: Path) -> None:
    contents = read_policy([EXAMPLE]).contents
    kept = Versions(tmp_path).keep([str(EXAMPLE)], contents, "ana", 1.0)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, *arguments(tmp_path, theirs.fileno())],
            pass_fds=[theirs.fileno()],
            cwd=EXAMPLE.parents[2],
        )
        theirs.close()
        ours.settimeout(60)
        switches = ((SwitchView(1, tuple(range(1, 9))), Form()),)
        ours.sendall(encode(ProofWanted(1, kept.number, 2.0, switches)))
        ours.sendall(encode(ProofWanted(2, 99, 2.0, switches)))
        decoder = Decoder()
        found: list[object] = []
        while len(found) < 2:
            found += decoder.feed(ours.recv(65536))
    assert process.wait(timeout=20) == 0
    first, second = found
    assert isinstance(first, ProofFound) and first.holds and first.number == 1
    assert isinstance(second, ProofFound) and not second.holds and second.unproven
