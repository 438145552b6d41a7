"""Frames that hosts of the lab send and catch, as hexadecimal text."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from mininet_tests.lab.lab import RunningHost

RAW = str(Path(__file__).parents[3] / "mininet_tests" / "traffic" / "raw.py")


def send(host: RunningHost, *frames: str) -> None:
    assert host.run([sys.executable, RAW, "send", "eth0", *frames]).ok


def catch(host: RunningHost, seconds: float, kind: str) -> subprocess.Popen[str]:
    words = [sys.executable, RAW, "catch", "eth0", str(seconds), kind]
    process = host.start(words, stdout=subprocess.PIPE)
    time.sleep(0.4)
    return process


def caught(process: subprocess.Popen[str]) -> list[str]:
    out, _ = process.communicate(timeout=30)
    return out.splitlines()


def mac(number: int) -> str:
    return f"0200000000{number:02x}"


def four(number: int) -> str:
    return f"0a0000{number:02x}"


def six(number: int) -> str:
    return f"fd{0:028x}{number:02x}"


def udp(source: int, ip: str, ports: str, payload: str) -> str:
    """A broadcast frame, without checksums: nobody is to get it."""
    size = len(payload) // 2
    head = f"4500{28 + size:04x}0000000040110000{ip}ffffffff{ports}{8 + size:04x}0000"
    return "f" * 12 + mac(source) + "0800" + head + payload


def arp(source: int, hardware: str, ip: str, asked: str) -> str:
    return (
        "f" * 12
        + mac(source)
        + f"0806000108000604 0001{hardware}{ip}{'0' * 12}{asked}".replace(" ", "")
    )


def tcp(source: int, ip: str) -> str:
    head = f"4500002800000000400600 00{ip}{four(2)}".replace(" ", "")
    return mac(2) + mac(source) + "0800" + head + "c350005000000000000000005002200000000000"
