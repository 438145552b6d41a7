"""``septum certificates``: keys and certificates for testing TLS."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from console.errors import CommandError

OPENSSL = "openssl"
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
CONTROLLER = "controller"
NAME = re.compile(r"\w[\w.-]{0,62}", re.ASCII)


def register(app: typer.Typer) -> None:
    app.command("certificates")(certificates)


def certificates(
    directory: Annotated[Path, typer.Argument(help="Target directory; created if missing.")],
    days: Annotated[int, typer.Option(min=1, max=825, help="Days of validity.")] = 30,
    switch: Annotated[
        list[str] | None,
        typer.Option(help="Name of a switch, for `certificate` in a switches file; repeatable."),
    ] = None,
) -> None:
    """Make a certificate authority, and a key and certificate each for controller and switches.

    For tests only: the authority's key is in the same directory. Existing files are not
    overwritten.

    Example:

        septum certificates ./tls
    """
    switches = switch or ["switch"]
    names = (CONTROLLER, *switches)
    for name in names:
        if NAME.fullmatch(name) is None or names.count(name) > 1 or name == "ca":
            raise CommandError(f"--switch {name}: letters, digits, dots and dashes, each name once")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    wanted = [directory / f"{name}.{end}" for name in ("ca", *names) for end in ("key", "crt")]
    there = [path for path in wanted if path.exists()]
    if there:
        raise CommandError(f"{there[0]} is there already; remove it or choose another directory")
    life = ("-days", str(days))
    _openssl(directory, "req", "-x509", *NEW_KEY, *life, *_named("ca"), "-out", "ca.crt")
    for name in names:
        _openssl(directory, "req", *NEW_KEY, *_named(name), "-out", f"{name}.csr")
        signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out", f"{name}.crt")
        _openssl(directory, "x509", "-req", "-in", f"{name}.csr", *life, *signed)
        (directory / f"{name}.csr").unlink()
    (directory / "ca.srl").unlink(missing_ok=True)
    authority = directory / "ca.crt"
    ours = f"--of-key {directory / 'controller.key'} --of-cert {directory / 'controller.crt'}"
    typer.echo(f"septum run --of-ssl-port 6653 {ours} --of-ca {authority} …")
    for name in switches:
        key, certificate = (directory / f"{name}.{end}" for end in ("key", "crt"))
        typer.echo(f"ovs-vsctl set-ssl {key} {certificate} {authority}")


def _named(name: str) -> tuple[str, ...]:
    return ("-subj", f"/O=septum/CN={name}", "-keyout", f"{name}.key")


def _openssl(directory: Path, *words: str) -> None:
    before = os.umask(0o077)
    try:
        done = subprocess.run(
            [OPENSSL, *words],
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except FileNotFoundError as error:
        raise CommandError("openssl is not installed: apt install openssl") from error
    finally:
        os.umask(before)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise CommandError(f"openssl {words[0]}: {last}")
