"""What clients do on lab hosts: one real request each, bounded in time, its answer checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mininet_tests.lab.lab import RunningHost
from mininet_tests.lab.namespace import Finished
from mininet_tests.lab.programs import ACCOUNT, ZONE, LabPrograms, export_of, page_of
from mininet_tests.scenario.schedule import Request

PATIENCE = 8.0  # seconds that a client waits before it gives up


@dataclass(frozen=True, slots=True)
class RequestResult:
    """How one request went; times in seconds since the epoch, ``problem`` empty if it succeeded."""

    request: Request
    ok: bool
    started: float
    ended: float
    problem: str = ""

    @property
    def latency(self) -> float:
        return self.ended - self.started


def perform(site: LabPrograms, request: Request) -> RequestResult:
    """Carry out one request with the real client program and judge the answer."""
    host = site.lab.host(request.client)
    argv, right = _ASKS[request.ask](site, host, request)
    done = host.run(argv, timeout=PATIENCE)
    ok = done.ok and right(done)
    return RequestResult(request, ok, done.started, done.ended, "" if ok else _complaint(done))


Judge = Callable[[Finished], bool]


def _http(site: LabPrograms, host: RunningHost, request: Request) -> tuple[list[str], Judge]:
    url = f"http://{_literal(request.ip)}:{request.port}/"
    argv = ["curl", "-sS", "-f", "--globoff", "--max-time", "7", url]
    return argv, lambda done: page_of(request.server) in done.stdout


def _redis(site: LabPrograms, host: RunningHost, request: Request) -> tuple[list[str], Judge]:
    order = f"order:{host.name}"
    script = "redis.call('set', KEYS[1], ARGV[1]); return redis.call('get', KEYS[1])"
    call = ["redis-cli", "-h", request.ip, "-p", str(request.port), "eval", script, "1", order]
    return [*call, request.server], lambda done: done.stdout.strip() == request.server


def _dns(site: LabPrograms, host: RunningHost, request: Request) -> tuple[list[str], Judge]:
    want = site.lab.plan.host(request.client).ips[0]
    kind = "AAAA" if ":" in want else "A"
    argv = ["dig", f"@{request.ip}", "-p", str(request.port), "+short", "+time=3", "+tries=2"]
    return [*argv, f"{request.client}.{ZONE}", kind], lambda done: want in done.stdout.split()


def _rsync(site: LabPrograms, host: RunningHost, request: Request) -> tuple[list[str], Judge]:
    kept = host.directory / "work" / f"{request.server}.bin"
    source = f"rsync://{_literal(request.ip)}:{request.port}/data/data.bin"
    argv = ["rsync", "--timeout=7", "--contimeout=7", "--ignore-times", "--whole-file", source]

    def right(done: Finished) -> bool:
        if not kept.exists() or kept.stat().st_mtime < done.started - 1:
            return False
        return kept.read_bytes() == export_of(request.server)

    return [*argv, str(kept)], right


def _ssh(site: LabPrograms, host: RunningHost, request: Request) -> tuple[list[str], Judge]:
    marker = f"{request.server}-{request.at:.3f}"
    key = host.directory / "home" / ".ssh" / f"id_{request.key}"
    argv = ssh_command(str(key), request.ip, f"echo {marker}; uptime", request.port)
    return argv, lambda done: marker in done.stdout


def ssh_command(key: str, ip: str, command: str, port: int = 22) -> list[str]:
    """An ssh call with a key file, asking nothing and remembering nothing."""
    argv = ["dbclient", "-y", "-y", "-q", "-T", "-i", key, "-p", str(port), "-l", ACCOUNT]
    return [*argv, ip, command]


_ASKS: dict[str, Callable[[LabPrograms, RunningHost, Request], tuple[list[str], Judge]]] = {
    "http": _http,
    "redis": _redis,
    "dns": _dns,
    "rsync": _rsync,
    "ssh": _ssh,
}


def _literal(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip


def _complaint(done: Finished) -> str:
    if done.returncode is None:
        return f"no answer within {PATIENCE:g} s"
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else f"exit {done.returncode}"
