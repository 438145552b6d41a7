"""From merged sections to a `Policy`: every reference resolved, every rejection recorded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from policies.language import scalars
from policies.language.assigned_services import ASSIGNED
from policies.language.documents import Merged
from policies.language.errors import Findings
from policies.language.host_entries import HostReader, pairs_of, values_of
from policies.language.kinds import Read
from policies.language.sources import OUTSIDE, Sources
from policies.model import (
    HELPERS,
    PROTOCOL_NAMES,
    RESERVED_NAMES,
    Defaults,
    Envelope,
    Feed,
    Infrastructure,
    Intent,
    Network,
    Policy,
    PolicyTest,
    Segment,
    Selector,
    Service,
    Source,
)

FEED_KEYS = (
    *("format", "mode", "refresh", "min_confidence"),
    *("may_list_own", "max_share", "max_change"),
)
_URL = ("http://", "https://")


class Builder:
    """Builds one policy. `build` returns it even if there are errors among the findings; the caller
    checks."""

    def __init__(self, merged: Merged, findings: Findings, sources: Sources) -> None:
        self._merged, self._findings, self._sources = merged, findings, sources
        self._services: dict[str, tuple[Service, ...]] = {}
        self._label_keys: set[str] = set()

    def build(self, name: str) -> Policy:
        hosts = HostReader(self._merged, self._findings).hosts()
        self._label_keys = {key for host in hosts for key, _ in host.labels}
        self._services = self._named_services()
        metadata = self._merged.singles.get("metadata", Read({}, Source(name, 1, 1)))
        policy = Policy(
            name=metadata.get("name", name),
            hosts=hosts,
            segments=self._segments(),
            services=tuple(self._services.items()),
            intents=self._intents(),
            defaults=self._defaults(),
            envelope=self._envelope(),
            feeds=self._feeds(),
            tests=self._tests(),
            metadata=tuple(
                (key, str(read.value)) for key, read in metadata.value.items() if read is not None
            ),
            files=self._merged.files,
        )
        return policy

    # Segments and selectors

    def _segments(self) -> tuple[Segment, ...]:
        segments = []
        for name, read in self._merged.tables["segments"].items():
            if read is None:
                continue
            if name in RESERVED_NAMES:
                message = f"a segment cannot be called '{name}': the word has a meaning of its own"
                self._findings.error("name", message, read.source, read.width)
            segments.append(
                Segment(
                    name=name,
                    members=self._selectors(read.items("members")),
                    mode=read.get("mode"),
                    adapt=read.get("adapt"),
                    description=str(read.get("description", "")),
                    source=read.source,
                )
            )
        return tuple(segments)

    def _selectors(self, entries: Iterable[Read]) -> tuple[Selector, ...]:
        return tuple(self._selector(entry) for entry in entries)

    def _selector(self, read: Read) -> Selector:
        host = read.part("host")
        if host is not None:
            self._known("host", host, self._merged.tables["hosts"])
        labels = read.part("labels")
        for key, value in {} if labels is None else labels.value.items():
            if value is not None and key not in self._label_keys and self._merged.complete:
                hint = self._findings.did_you_mean(key, self._label_keys)
                message = f"no host carries a label '{key}'"
                self._findings.error("dangling-label", message, value.source, value.width, hint)
        cidr: Network | None = read.get("cidr")
        excepts = read.items("except")
        for part in excepts:
            self._inside(part, cidr)
        return Selector(
            labels=() if labels is None else pairs_of(labels),
            host=read.get("host"),
            cidr=cidr,
            excepts=tuple(part.value for part in excepts),
            switch=read.get("switch"),
            port=read.get("port"),
            source=read.source,
        )

    def _inside(self, part: Read, cidr: Network | None) -> None:
        inner: Network = part.value
        if cidr is None or (inner.version == cidr.version and inner.subnet_of(cidr)):  # type: ignore[arg-type]
            return
        message = f"except {inner} is outside {cidr}"
        self._findings.error("except", message, part.source, part.width)

    def _known(self, what: str, read: Read, names: Iterable[str], meant: str | None = None) -> bool:
        """Whether a reference leads somewhere; if not, that is recorded, with ``meant`` as hint
        or the name that is closest."""
        if read.value in names:
            return True
        if self._merged.complete:
            hint = f"did you mean '{meant}'?" if meant else None
            hint = hint or self._findings.did_you_mean(read.value, names)
            message = f"no {what} is called '{read.value}'"
            self._findings.error(f"dangling-{what}", message, read.source, read.width, hint)
        return False

    # Services and intents

    def _named_services(self) -> dict[str, tuple[Service, ...]]:
        services = {}
        for name, read in self._merged.tables["services"].items():
            if scalars.is_literal(name) and read is not None:
                message = f"a service cannot be called '{name}': it reads as a literal"
                self._findings.error("name", message, read.source, read.width)
            elif read is not None:
                found = (self._named_service(entry) for entry in read.value)
                services[name] = _unique(each for each in found if each is not None)
        return services

    def _named_service(self, read: Read) -> Service | None:
        """A literal, or one with a connection-tracking helper."""
        if isinstance(read.value, Service):
            return read.value
        service, helper = read.get("port"), read.get("helper")
        if not isinstance(service, Service) or helper is None:
            return None
        if service.proto != HELPERS[helper] or service.low is None or service.low != service.high:
            wanted = PROTOCOL_NAMES[HELPERS[helper]]
            message = f"the helper {helper} reads connections to one {wanted} port, not {service}"
            self._findings.error("value", message, read.source, read.width)
            return None
        return replace(service, helper=helper)

    def _service(self, read: Read) -> tuple[Service, ...]:
        named = self._services.get(read.value)
        if named is not None or read.value in self._merged.tables["services"]:
            return named or ()
        if scalars.is_literal(read.value):
            try:
                return (scalars.service(read.value),)
            except ValueError as problem:
                self._findings.error("value", str(problem), read.source, read.width)
                return ()
        if read.value in ASSIGNED:
            return ASSIGNED[read.value]
        meant = scalars.service_meant(read.value)
        literals = ("tcp", "udp", "icmp", "icmpv6", "any")
        self._known("service", read, (*self._services, *ASSIGNED, *literals), meant)
        return ()

    def _intents(self) -> tuple[Intent, ...]:
        places: dict[str, Source] = {}
        intents = []
        for read in self._merged.lists["intents"]:
            name = read.part("name")
            if (
                name is not None
                and (first := places.setdefault(name.value, name.source)) is not name.source
            ):
                message = f"intent '{name.value}' is defined twice; first at {first}"
                self._findings.error("duplicate-name", message, name.source, name.width)
            intents.append(self._intent(read))
        return tuple(intents)

    def _intent(self, read: Read) -> Intent:
        services = [s for part in read.items("services") for s in self._service(part)]
        given: dict[str, Any] = {}
        for key, attribute in (("action", "action"), ("tier", "tier"), ("expires", "expires"),
                               ("established", "keep_established"), ("log", "log")):  # fmt: skip
            part = read.part(key)
            if part is not None:
                given[attribute] = part.value
        return Intent(
            name=read.get("name", ""),
            sources=self._ends(read.items("from")),
            targets=self._ends(read.items("to")),
            services=_unique(services),
            description=str(read.get("description", "")),
            source=read.source,
            **given,
        )

    def _ends(self, parts: list[Read]) -> tuple[str, ...]:
        known = self._merged.tables["segments"]
        for part in parts:
            if part.value not in RESERVED_NAMES and part.value not in known:
                self._known("segment", part, (*known, *RESERVED_NAMES))
        return _unique(part.value for part in parts)

    # The rest

    def _defaults(self) -> Defaults:
        read = self._merged.singles.get("defaults")
        if self._merged.complete and (read is None or "mode" not in read.value):
            at = read.source if read is not None else Source(_first(self._merged.files), 1, 1)
            message = "defaults.mode is left out, so it is 'audit': denies there are let through"
            self._findings.warning("default-mode", message, at, hint="write it down")
        if read is None:
            return Defaults()
        infrastructure = read.part("infrastructure")
        chosen = {} if infrastructure is None else _given(infrastructure, ("arp", "nd", "dhcp"))
        return Defaults(infrastructure=Infrastructure(**chosen), **_given(read, ("action", "mode")))

    def _envelope(self) -> Envelope | None:
        read = self._merged.singles.get("adaptive")
        if read is None:
            return None
        given = _given(read, ("max_hosts", "max_share", "ttl", "rate_limit"))
        for key in ("actions", "trusted_exporters"):
            if read.part(key) is not None:
                given[key] = values_of(read, key)
        protected = self._selectors(read.items("protected"))
        keys = ("actions", "max_hosts", "max_share", "ttl", "rate_limit")
        silent = tuple(key for key in keys if key not in given)
        return Envelope(protected=protected, source=read.source, defaulted=silent, **given)

    def _feeds(self) -> tuple[Feed, ...]:
        feeds: dict[str, Feed] = {}
        for read in self._merged.lists["feeds"]:
            name, path = read.part("name"), str(read.get("path", ""))
            if name is None:
                continue
            if name.value in feeds:
                first = feeds[name.value].source
                message = f"feed '{name.value}' is defined twice; first at {first}"
                self._findings.error("duplicate-name", message, name.source, name.width)
                continue
            if not path.startswith(_URL):
                path = str(Path(read.source.file).parent / path)
                if not self._sources.within(Path(path)):
                    where = read.part("path") or read
                    message = f"'{path}' {OUTSIDE}"
                    self._findings.error("unreadable", message, where.source, where.width)
            given = {"format": ""} | _given(read, FEED_KEYS)
            feeds[name.value] = Feed(name=name.value, path=path, source=read.source, **given)
        return tuple(feeds.values())

    def _tests(self) -> tuple[PolicyTest, ...]:
        tests = []
        for read in self._merged.lists["tests"]:
            ends = [end for key in ("from", "to") if (end := read.part(key)) is not None]
            for end in ends:
                self._endpoint(end)
            service, expect = read.part("service"), read.get("expect")
            services = () if service is None else self._service(service)
            if len(ends) == 2 and expect is not None:
                origin, target = (end.value for end in ends)
                tests += [PolicyTest(origin, target, s, expect, read.source) for s in services]
        return tuple(tests)

    def _endpoint(self, read: Read) -> None:
        try:
            scalars.address(read.value)
        except ValueError:
            self._known("host", read, self._merged.tables["hosts"])


def _first(files: tuple[str, ...]) -> str:
    return files[0] if files else "<nothing>"


def _given(read: Read, keys: Iterable[str]) -> dict[str, Any]:
    """The present and valid keys, so that the model's own defaults fill in the rest."""
    return {key: read.value[key].value for key in keys if read.value.get(key) is not None}


def _unique(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))
