"""An analysis process that hangs or works as it is asked to: ``--socket-fd N START``.

START is ``ready`` at once, after long ``work``, or never (``wait``). It gives signs of life, and on
`PolicyApplied` does what the digest says: ``loop`` or ``wait`` for ever, announce and do long
``work``, or ``answer`` that it is there.
"""

from __future__ import annotations

import select
import socket
import sys
import time

from response.ipc.framing import Decoder, encode
from response.ipc.messages import Alive, PolicyApplied, Ready

EVERY = 0.1  # seconds
WORK = 3.5  # seconds of processor time


def work(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def do(digest: str, controller: socket.socket) -> None:
    if digest == "loop":
        work(3_600.0)
    elif digest == "wait":
        time.sleep(3_600.0)
    elif digest == "work":
        controller.sendall(encode(Alive("long work", True)))
        work(WORK)
    elif digest == "answer":
        controller.sendall(encode(Alive("answered", True)))


def main() -> None:
    controller = socket.socket(fileno=int(sys.argv[sys.argv.index("--socket-fd") + 1]))
    start = sys.argv[-1]
    if start == "work":
        work(WORK)
    elif start == "wait":
        time.sleep(3_600.0)
    controller.sendall(encode(Ready(1.0, "hanging", 0)))
    decoder = Decoder()
    last = "idle"
    while True:
        if select.select([controller], [], [], EVERY)[0]:
            data = controller.recv(65536)
            if not data:
                return
            for message in decoder.feed(data):
                if isinstance(message, PolicyApplied):
                    last = message.digest
                    do(last, controller)
        elif last != "answer":
            controller.sendall(encode(Alive()))


if __name__ == "__main__":
    main()
