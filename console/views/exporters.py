"""What exporters of flows have sent, in a line each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

SILENT_AFTER = 300.0  # seconds


def exporter_lines(collected: dict[str, Any] | None, now: float) -> Iterator[str]:
    """From the last `response.ipc.messages.FlowsCollected`, as `septum status` has it."""
    if collected is None:
        return
    for each in collected["exporters"]:
        parts = [f"{each['rows']} rows in {each['datagrams']} datagrams"]
        if each["sampling"] > 1:
            parts.append(f"sampled 1:{each['sampling']}")
        parts += [
            f"{each[name]} {words}"
            for name, words in (
                ("lost", "lost on the way"),
                ("bad", "datagrams not understood"),
                ("untemplated", "sets before their template"),
                ("without_addresses", "rows without addresses"),
            )
            if each[name]
        ]
        if each["problem"]:
            parts.append(f"last problem: {each['problem']}")
        silent = now - each["heard"]
        if silent > SILENT_AFTER:
            parts.append(f"silent for {silent / 60:.0f} min")
        yield f"{each['address']}: {', '.join(parts)}"
    counts = (
        ("dropped", "records dropped, for the analysis did not take them"),
        ("unlisted", "datagrams of addresses that --exporter does not list"),
        ("repeated", "rows that a second exporter had counted"),
    )
    rest = [f"{collected[name]} {words}" for name, words in counts if collected[name]]
    if rest:
        yield "; ".join(rest)
