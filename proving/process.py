"""The prover as a process of its own: ``python -m proving.process``.

The controller starts it with one end of a socket, over which requests arrive and answers leave, one
at a time. It reads policy versions in the state directory and writes nothing. It ends when the
controller's side closes.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Sequence

from proving.network_proof import NetworkProof
from proving.options import read_options
from response.ipc.framing import Decoder, encode
from response.ipc.messages import ProofFound, ProofWanted
from response.state.policy_versions import Versions
from topology.gc_tuning import collect_rarely

NICENESS = 5  # a proof takes a core for seconds; who forwards and scores goes first


def main(given: Sequence[str] | None = None) -> int:
    """Run the process until the controller closes its side."""
    state, descriptor = read_options(given)
    # Ctrl-C reaches the whole group; the controller ends us by closing its side.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    collect_rarely()
    versions = Versions(state)
    prover = NetworkProof(lambda number: versions.version(number).policy())
    serve(socket.socket(fileno=descriptor), prover)
    return 0


def serve(connection: socket.socket, prover: NetworkProof) -> None:
    """Answer requests, one after the other, until the other side closes."""
    connection.setblocking(True)  # whatever the side that made it is
    decoder = Decoder()
    while data := connection.recv(1 << 16):
        for wanted in decoder.feed(data):
            if isinstance(wanted, ProofWanted):
                connection.sendall(encode(_answered(prover, wanted)))


def _answered(prover: NetworkProof, wanted: ProofWanted) -> ProofFound:
    try:
        return prover.answer(wanted)
    except Exception as problem:  # a fault of the prover proves nothing, and is said
        text = f"the proof failed: {type(problem).__name__}: {problem}"
        return ProofFound(wanted.number, False, 0.0, unproven=(" ".join(text.split()),))


if __name__ == "__main__":
    sys.exit(main())
