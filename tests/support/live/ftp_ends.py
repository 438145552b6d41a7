"""The two ends of file transfers over FTP, each a program in a host of a lab.

``ftp_ends.py serve ADDRESS FOLDER`` serves until killed; ``ftp_ends.py fetch ADDRESS active|passive
FILE [PAUSE]`` prints how many bytes came, pausing PAUSE seconds at each block; ``ftp_ends.py port
ADDRESS N,N,N,N,N,N FILE`` sends that PORT, asks for the file, and prints the server's answers.
"""

from __future__ import annotations

import ftplib
import sys
import time
from contextlib import suppress

TIMEOUT = 5.0


def serve(address: str, folder: str) -> None:
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import FTPServer

    authorizer = DummyAuthorizer()
    authorizer.add_anonymous(folder)
    FTPHandler.authorizer = authorizer
    FTPHandler.permit_foreign_addresses = True  # whom the network lets it reach is what is tested
    FTPServer((address, 21), FTPHandler).serve_forever()


def fetch(address: str, how: str, file: str, pause: float) -> None:
    came = 0

    def took(block: bytes) -> None:
        nonlocal came
        came += len(block)
        print(came, flush=True)
        time.sleep(pause)

    with suppress(OSError, EOFError, ftplib.Error):
        client = ftplib.FTP()
        client.connect(address, 21, timeout=TIMEOUT)
        client.login()
        client.set_pasv(how == "passive")
        client.retrbinary(f"RETR {file}", took, blocksize=32_768)
    print(came, flush=True)


def forge(address: str, where: str, file: str) -> None:
    client = ftplib.FTP()
    client.connect(address, 21, timeout=TIMEOUT)
    client.login()
    for command in (f"PORT {where}", f"RETR {file}"):
        try:
            print(client.sendcmd(command), flush=True)
        except (OSError, EOFError, ftplib.Error) as problem:
            print(problem, flush=True)


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "serve":
        serve(*words)
    elif what == "fetch":
        address, how, file, *pause = words
        fetch(address, how, file, float(pause[0]) if pause else 0.0)
    else:
        forge(*words)
