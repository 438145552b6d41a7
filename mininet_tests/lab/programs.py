"""Real server programs on lab hosts, with everything they need in the lab's own directory."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mininet_tests.lab.lab import Lab, RunningHost
from mininet_tests.lab.machine import find_program, require_programs, said
from mininet_tests.lab.plan import LabError
from mininet_tests.scenario.scenario import ServerProgram, SshKey

ACCOUNT = "deploy"  # the account that ssh clients log in to
ZONE = "lab.test"  # the domain that the name server answers for
EXPORT_BYTES = 200_000  # about what a backup fetches from each host
CLIENT_PROGRAMS = ("curl", "redis-cli", "dig", "rsync", "dbclient")
SERVER_PROGRAMS = ("dropbear", "dropbearkey", "dnsmasq", "rsync", "python3")
_REDIS = ("redis-server", "redis-check-rdb")  # one binary, which acts by the name it is called
_TABLES = {"tcp": ("0A",), "udp": ("07",)}  # socket states of a waiting server


@dataclass(frozen=True, slots=True)
class LabPrograms:
    """What the programs of one lab share: the name server's entries and the ssh keys."""

    lab: Lab
    keys: dict[str, Path]

    def key(self, name: str) -> Path:
        if name not in self.keys:
            raise LabError(f"the scenario uses an ssh key {name!r} that it does not declare")
        return self.keys[name]


def prepare_site(lab: Lab, keys: Sequence[SshKey] = (), secrets: Sequence[str] = ()) -> LabPrograms:
    """Home directories, ssh keys and files for every host of ``lab``.

    ``secrets`` are files that ssh accounts on every host hold, named after what they contain.
    """
    made = {key.name: lab.directory / f"key-{key.name}" for key in keys}
    for path in (*made.values(), lab.directory / "hostkey"):
        said(["dropbearkey", "-t", "ed25519", "-f", str(path)], timeout=10)
    public = {name: _public_half(path) for name, path in made.items()}
    for host in lab.hosts:
        home = host.directory / "home"
        (home / ".ssh").mkdir(parents=True, mode=0o700)
        opened_by = [public[key.name] for key in keys if host.name in key.opens]
        authorized = home / ".ssh" / "authorized_keys"
        authorized.write_text("".join(f"{line}\n" for line in opened_by))
        authorized.chmod(0o600)
        for key in keys:
            if host.name in key.held_by:
                shutil.copy(made[key.name], home / ".ssh" / f"id_{key.name}")
        for name in secrets:
            (home / name).write_text(secret_of(host.name, name) + "\n")
        for folder in ("www", "export", "work"):
            (host.directory / folder).mkdir()
        (host.directory / "www" / "index.html").write_text(f"<h1>{page_of(host.name)}</h1>\n")
        (host.directory / "export" / "data.bin").write_bytes(export_of(host.name))
    return LabPrograms(lab, made)


def page_of(host: str) -> str:
    """What the web server of a host shows, and nobody else's does."""
    return f"welcome to {host}"


def export_of(host: str) -> bytes:
    """What a host gives to the backup."""
    return host.encode() * (EXPORT_BYTES // len(host))


def secret_of(host: str, name: str) -> str:
    return f"{name} of {host}"


def start_services(
    site: LabPrograms, services: Sequence[ServerProgram], timeout: float = 15.0
) -> None:
    """Start every server and wait until each one listens on its port."""
    require_programs(SERVER_PROGRAMS)
    if any(s.program == "redis" for s in services) and _redis_binary() is None:
        raise LabError("missing on this machine: redis-server (`make setup` installs it)")
    started = [(service, start_service(site, service)) for service in services]
    deadline = time.monotonic() + timeout
    for service, process in started:
        _wait_listening(site.lab.host(service.host), service, process, deadline)


def start_service(site: LabPrograms, service: ServerProgram) -> subprocess.Popen[str]:
    """Start one server program; it ends with the lab. Its output is in the host's directory."""
    host = site.lab.host(service.host)
    if listens(host.pid, service.port):
        raise LabError(f"{service.program} on {host.name}: port {service.port} is taken there")
    argv = _COMMANDS[service.program](site, host, service.port)
    with open(_log(host, service), "w", encoding="utf-8") as log:
        return host.start(argv, stdout=log, stderr=subprocess.STDOUT)


def _log(host: RunningHost, service: ServerProgram) -> Path:
    return host.directory / f"{service.program}-{service.port}.log"


def _http(site: LabPrograms, host: RunningHost, port: int) -> list[str]:
    bind = "::" if host.plan.ipv6 else "0.0.0.0"  # :: serves both families
    folder = str(host.directory / "www")
    return [
        "/usr/bin/python3",
        "-I",
        "-m",
        "http.server",
        str(port),
        "--bind",
        bind,
        "--directory",
        folder,
    ]


def _redis(site: LabPrograms, host: RunningHost, port: int) -> list[str]:
    binary = _redis_binary()
    options = f"--port {port} --protected-mode no --appendonly no --dir {host.directory}/work"
    call = f"exec -a redis-server {binary} {options} --bind '*' '-::*' --save ''"
    return ["bash", "-c", call]


def _dns(site: LabPrograms, host: RunningHost, port: int) -> list[str]:
    names = host.directory / "names"
    lines = [f"{ip} {h.name}.{ZONE}\n" for h in site.lab.plan.hosts for ip in h.ips]
    names.write_text("".join(lines))
    # --no-daemon: it would otherwise change its privileges, and forget whose death ends it.
    options = "--no-daemon --conf-file=/dev/null --no-resolv --no-hosts --pid-file= "
    options += f"--user=root --bind-interfaces --interface=eth0 --port={port} --cache-size=0 "
    options += f"--local=/{ZONE}/ --addn-hosts={names} --log-facility=-"
    return ["dnsmasq", *options.split()]


def _rsync(site: LabPrograms, host: RunningHost, port: int) -> list[str]:
    config = host.directory / "rsyncd.conf"
    config.write_text(
        "use chroot = no\nuid = root\ngid = root\n"
        f"[data]\npath = {host.directory}/export\nread only = yes\n"
    )
    return ["rsync", "--daemon", "--no-detach", f"--config={config}", f"--port={port}"]


def _ssh(site: LabPrograms, host: RunningHost, port: int) -> list[str]:
    """An ssh server whose account lives in the lab, not in this machine's user table.

    The host has mounts of its own: there, and nowhere else, a user table with
    one more line covers the real one.
    """
    table = host.directory / "passwd"
    account = f"{ACCOUNT}:x:0:0:lab account:{host.directory}/home:/bin/sh\n"
    table.write_text(Path("/etc/passwd").read_text(encoding="utf-8") + account)
    done = host.run(["mount", "--bind", str(table), "/etc/passwd"])
    if not done.ok:
        raise LabError(f"{host.name}: cannot give the ssh server an account: {done.stderr.strip()}")
    hostkey = str(site.lab.directory / "hostkey")
    pidfile = str(host.directory / "dropbear.pid")
    return ["dropbear", "-F", "-E", "-s", "-m", "-r", hostkey, "-p", str(port), "-P", pidfile]


_COMMANDS: dict[str, Callable[[LabPrograms, RunningHost, int], list[str]]] = {
    "http": _http,
    "redis": _redis,
    "dns": _dns,
    "rsync": _rsync,
    "ssh": _ssh,
}


def _redis_binary() -> str | None:
    return next((path for name in _REDIS if (path := find_program(name))), None)


def _public_half(path: Path) -> str:
    text = said(["dropbearkey", "-y", "-f", str(path)], timeout=10)
    return next(line for line in text.splitlines() if line.startswith("ssh-"))


def _wait_listening(
    host: RunningHost, service: ServerProgram, process: subprocess.Popen[str], deadline: float
) -> None:
    while not listens(host.pid, service.port):
        if process.poll() is not None or time.monotonic() > deadline:
            said_last = (_log(host, service).read_text().strip().splitlines() or ["no output"])[-1]
            raise LabError(f"{service.program} on {host.name} does not serve: {said_last}")
        time.sleep(0.02)


def listens(pid: int, port: int) -> bool:
    """Whether something in process ``pid``'s network namespace waits on TCP or UDP ``port``."""
    for protocol, states in _TABLES.items():
        for table in (protocol, protocol + "6"):
            path = Path("/proc", str(pid), "net", table)
            lines = path.read_text().splitlines()[1:] if path.exists() else []
            for fields in (line.split() for line in lines):
                if fields[3] in states and int(fields[1].rpartition(":")[2], 16) == port:
                    return True
    return False
