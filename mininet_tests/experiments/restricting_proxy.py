"""A proxy between switches and their controller that makes Open vSwitch a lesser switch.

It refuses every vendor extension, limits tables and entries (and answers
TABLE_FULL), delays, reorders what OpenFlow lets a switch reorder (flow-mods
between two barriers), and cuts the connection or lets it hang.

::

    with Restriction(Limits(vendor=False, tables=13), controller_port) as proxy:
        lab.set_controller(f"tcp:127.0.0.1:{proxy.port}")
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

LOOPBACK = "127.0.0.1"
ERROR, EXPERIMENTER, FEATURES_REPLY, FLOW_REMOVED, FLOW_MOD, MULTIPART_REPLY = 1, 4, 6, 11, 14, 19
DESCRIPTION, TABLE_FEATURES = 0, 12
OXM_BASIC, EXPERIMENTER_ACTION = 0x8000, 0xFFFF
ADD, DELETE_STRICT = 0, 4
BAD_EXPERIMENTER, BAD_ACTION, BAD_FIELD = (1, 3), (2, 3), (4, 6)
TABLE_FULL, BAD_TABLE = (5, 1), (5, 2)
BATCH = 0.005  # seconds without a barrier until what waits is sent on
OXM_LISTS = (8, 10, 12, 13, 14, 15)  # properties of a table that list fields
Key = tuple[int, int, bytes]


@dataclass(slots=True)
class Limits:
    """``size`` rules fit in each table, and ``told`` is what the switch says of that (the truth,
    if None). ``delay`` in seconds and each way; ``shuffle`` seeds the reordering."""

    vendor: bool = True
    tables: int = 254
    size: int = 1_000_000
    told: int | None = None
    delay: float = 0.0
    shuffle: int | None = None


@dataclass(slots=True)
class ProxiedMessages:
    """What has passed."""

    flow_mods: int = 0
    refused: int = 0
    full: int = 0
    connections: int = 0


@dataclass(slots=True)
class Tables:
    """One switch's rules, as far as the proxy has seen them come and go; they outlive the
    connection, as they do on the switch."""

    limits: Limits
    keys: dict[int, set[Key]] = field(default_factory=dict)

    def judge(self, data: bytes) -> tuple[int, int] | None:
        """The error that a flow-mod meets, if any."""
        table, command, priority = data[24], data[25], int.from_bytes(data[30:32], "big")
        length = int.from_bytes(data[50:52], "big")
        matched, rest = data[52 : 48 + length], data[48 + (length + 7) // 8 * 8 :]
        if table >= self.limits.tables:
            return BAD_TABLE
        if not self.limits.vendor:
            if any(int.from_bytes(each[:2], "big") != OXM_BASIC for each in oxms(matched)):
                return BAD_FIELD
            if EXPERIMENTER_ACTION in action_types(rest):
                return BAD_ACTION
        there = self.keys.setdefault(table, set())
        key = (table, priority, b"".join(sorted(oxms(matched))))
        if command == DELETE_STRICT:
            there.discard(key)
        elif command == ADD:
            if key not in there and len(there) >= self.limits.size:
                return TABLE_FULL
            there.add(key)
        return None

    def ended(self, data: bytes) -> None:
        """A rule's own timer ended it."""
        priority, table = int.from_bytes(data[16:18], "big"), data[19]
        length = int.from_bytes(data[50:52], "big")
        key = (table, priority, b"".join(sorted(oxms(data[52 : 48 + length]))))
        self.keys.get(table, set()).discard(key)


def oxms(matched: bytes) -> Iterator[bytes]:
    at = 0
    while at + 4 <= len(matched):
        end = at + 4 + matched[at + 3]
        yield matched[at:end]
        at = end


def action_types(instructions: bytes) -> set[int]:
    found, at = set(), 0
    while at + 8 <= len(instructions):
        kind, length = struct.unpack_from("!HH", instructions, at)
        inner = at + 8
        while kind in (3, 4) and inner + 4 <= at + length:
            action, size = struct.unpack_from("!HH", instructions, inner)
            found.add(action)
            inner += max(size, 8)
        at += max(length, 8)
    return found


def lesser(limits: Limits, data: bytes) -> bytes:
    """A switch's message as the lesser switch would send it."""
    kind = data[1]
    if kind == FEATURES_REPLY:
        return data[:20] + bytes([min(data[20], limits.tables)]) + data[21:]
    if kind != MULTIPART_REPLY:
        return data
    body = data[16:]
    what = int.from_bytes(data[8:10], "big")
    if what == DESCRIPTION and not limits.vendor:
        body = b"plain".ljust(1056, b"\0")
    elif what == TABLE_FEATURES:
        body = b"".join(_tables(limits, body))
    return data[:2] + struct.pack("!H", 16 + len(body)) + data[4:16] + body


def _tables(limits: Limits, body: bytes) -> Iterator[bytes]:
    at = 0
    while at + 64 <= len(body):
        length, number = int.from_bytes(body[at : at + 2], "big"), body[at + 2]
        entry = body[at : at + length]
        at += length
        if number >= limits.tables:
            continue
        properties = b"".join(_properties(limits, entry[64:]))
        size = limits.size if limits.told is None else limits.told
        head = struct.pack("!H", 64 + len(properties)) + entry[2:60] + struct.pack("!I", size)
        yield head + properties


def _properties(limits: Limits, data: bytes) -> Iterator[bytes]:
    at = 0
    while at + 4 <= len(data):
        kind, length = struct.unpack_from("!HH", data, at)
        value = data[at + 4 : at + length]
        at += max(4, (length + 7) // 8 * 8)
        if kind in OXM_LISTS and not limits.vendor:
            listed = (value[place : place + 4] for place in range(0, len(value), 4))
            value = b"".join(each for each in listed if each[:2] == b"\x80\x00")
        whole = struct.pack("!HH", kind, 4 + len(value)) + value
        yield whole + bytes(-len(whole) % 8)


class RestrictingProxy:
    """The proxy, running in a thread of its own until the block ends."""

    def __init__(self, limits: Limits, controller_port: int) -> None:
        self.limits = limits
        self.seen = ProxiedMessages()
        self.port = 0
        self._target = controller_port
        self._switches: dict[bytes, Tables] = {}
        self._loop = asyncio.new_event_loop()
        self._running = threading.Event()
        self._open = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._refusing = False
        self._random = random.Random(limits.shuffle)

    def __enter__(self) -> RestrictingProxy:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._running.wait(5)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def cut(self) -> None:
        """End all connections, and let none come up until `mend`."""
        self._refusing = True
        self._call(self._close_all())

    def hang(self) -> None:
        """Pass nothing on any more, as a broken cable does, until `mend`."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def mend(self) -> None:
        self._refusing = False
        self._loop.call_soon_threadsafe(self._open.set)

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._open.set()
        server = self._loop.run_until_complete(
            asyncio.start_server(self._connected, LOOPBACK, 0, limit=1 << 20)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._running.set()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        server.close()

    async def _close_all(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _connected(
        self, switch: asyncio.StreamReader, to_switch: asyncio.StreamWriter
    ) -> None:
        if self._refusing:
            to_switch.close()
            return
        try:
            controller, to_controller = await asyncio.open_connection(LOOPBACK, self._target)
        except OSError:
            to_switch.close()
            return
        self.seen.connections += 1
        link = _Link(self, to_switch, to_controller)
        self._writers |= {to_switch, to_controller}
        tasks = [
            asyncio.ensure_future(link.down(controller)),
            asyncio.ensure_future(link.up(switch)),
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in (to_switch, to_controller):
            self._writers.discard(writer)
            writer.transport.abort()

    def tables(self, datapath: bytes) -> Tables:
        return self._switches.setdefault(datapath, Tables(self.limits))

    async def passing(self) -> None:
        await self._open.wait()

    def later(self, act: Callable[[bytes], None], data: bytes) -> None:
        """Do something with a message after the delay; messages keep their order."""
        if self.limits.delay:
            self._loop.call_later(self.limits.delay, act, data)
        else:
            act(data)

    def shuffle(self, waiting: list[bytes]) -> list[bytes]:
        self._random.shuffle(waiting)
        return waiting


class _Link:
    """One switch's connection, both ways."""

    def __init__(
        self,
        proxy: RestrictingProxy,
        to_switch: asyncio.StreamWriter,
        to_controller: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._to_switch, self._to_controller = to_switch, to_controller
        self._tables = Tables(proxy.limits)

    async def up(self, switch: asyncio.StreamReader) -> None:
        """From the switch to the controller."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                data = await _message(switch)
                await self._proxy.passing()
                if data[1] == FEATURES_REPLY:
                    self._tables = self._proxy.tables(data[8:16])
                elif data[1] == FLOW_REMOVED:
                    self._tables.ended(data)
                self._proxy.later(self._to_controller.write, lesser(self._proxy.limits, data))
                await self._to_controller.drain()

    async def down(self, controller: asyncio.StreamReader) -> None:
        """From the controller to the switch."""
        waiting: list[bytes] = []
        reading = asyncio.ensure_future(_message(controller))
        try:
            while True:
                done, _ = await asyncio.wait({reading}, timeout=BATCH if waiting else None)
                data = reading.result() if done else b""
                if done:
                    reading = asyncio.ensure_future(_message(controller))
                    await self._proxy.passing()
                if done and data[1] == FLOW_MOD and self._proxy.limits.shuffle is not None:
                    waiting.append(data)
                    continue
                for each in self._proxy.shuffle(waiting):
                    self._proxy.later(self._judge, each)
                waiting = []
                if done:
                    self._proxy.later(self._judge, data)
                await self._to_switch.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def _judge(self, data: bytes) -> None:
        """Pass a message on, or answer it with an error."""
        refused: tuple[int, int] | None = None
        seen = self._proxy.seen
        if data[1] == EXPERIMENTER and not self._proxy.limits.vendor:
            refused = BAD_EXPERIMENTER
        elif data[1] == FLOW_MOD:
            seen.flow_mods += 1
            refused = self._tables.judge(data)
        if refused is None:
            self._to_switch.write(data)
            return
        seen.refused += 1
        seen.full += refused == TABLE_FULL
        body = struct.pack("!HH", *refused) + data[:64]
        error = struct.pack("!BBH", data[0], ERROR, 8 + len(body)) + data[4:8] + body
        self._to_controller.write(error)


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(8)
    return head + await reader.readexactly(max(0, int.from_bytes(head[2:4], "big") - 8))
