"""Field headers: `policies.rules.fields` as bytes (OpenFlow 1.3.5, section 7.2.3.2)."""

from __future__ import annotations

from dataclasses import dataclass

from policies.rules.fields import FIELDS, FieldClass

OXM, EXPERIMENTER = FieldClass.OXM, FieldClass.EXPERIMENTER
ONF = 0x4F4E4600


@dataclass(frozen=True, slots=True)
class WireField:
    """``size`` in bytes. ``action`` is the class and number used inside load, move and learn."""

    name: str
    oxm_class: int
    number: int
    size: int
    action_class: int
    action_number: int

    @property
    def header(self) -> int:
        return self.oxm_class << 16 | self.number << 9 | self.size

    def prefix(self, masked: bool) -> bytes:
        """What stands before the value, and its mask, in a match."""
        size = self.size * 2 if masked else self.size
        vendor = b""
        if self.oxm_class == EXPERIMENTER:
            vendor = ONF.to_bytes(4, "big")
        header = self.oxm_class << 16 | self.number << 9 | masked << 8 | size + len(vendor)
        return header.to_bytes(4, "big") + vendor

    @property
    def action_header(self) -> int:
        return self.action_class << 16 | self.action_number << 9 | self.size


BY_NAME = {
    field.name: WireField(field.name, *field.matched, field.width // 8, *field.written)
    for field in FIELDS.values()
}
# A header without its length and mask bit names the field.
BY_HEADER = {
    field.header >> 9: field for field in BY_NAME.values() if field.oxm_class != EXPERIMENTER
}
