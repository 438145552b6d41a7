"""An analysis process that writes down what it receives: ``--socket-fd N RECORD``.

It announces that it is ready, and then writes one JSON line per message to the file. On
`PolicyApplied` it does what the digest asks for: ``die`` at once, send ``nonsense``, or say that
three messages were ``left out``.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

from response.ipc.framing import Decoder, encode
from response.ipc.messages import PolicyApplied, Ready, RecordsSeen, Unsent


def main() -> None:
    controller = socket.socket(fileno=int(sys.argv[sys.argv.index("--socket-fd") + 1]))
    controller.setblocking(True)
    controller.sendall(encode(Ready(1.0, "recording", 0)))
    decoder = Decoder()
    with Path(sys.argv[-1]).open("a", encoding="utf-8") as record:
        while data := controller.recv(65536):
            for message in decoder.feed(data):
                line: dict[str, object] = {"pid": os.getpid(), "type": type(message).__name__}
                if isinstance(message, RecordsSeen):
                    line |= {"ts": [each.ts for each in message.records], "lost": message.lost}
                if isinstance(message, PolicyApplied):
                    line["digest"] = message.digest
                record.write(json.dumps(line) + "\n")
                record.flush()
                if line.get("digest") == "die":
                    os._exit(3)
                if line.get("digest") == "nonsense":
                    controller.sendall(b"\xff" * 64)
                if line.get("digest") == "left out":
                    controller.sendall(encode(Unsent(3)))


if __name__ == "__main__":
    main()
