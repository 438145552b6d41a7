"""MITRE ATT&CK (Enterprise 16): names of the techniques that alerts carry, with their tactic."""

from __future__ import annotations

from typing import NamedTuple

VERSION = "16.1"


class Technique(NamedTuple):
    name: str
    tactic: str  # its id
    tactic_name: str


TECHNIQUES = {
    "T1021": Technique("Remote Services", "TA0008", "Lateral Movement"),
    "T1046": Technique("Network Service Discovery", "TA0007", "Discovery"),
    "T1048": Technique("Exfiltration Over Alternative Protocol", "TA0010", "Exfiltration"),
    "T1071": Technique("Application Layer Protocol", "TA0011", "Command and Control"),
    "T1210": Technique("Exploitation of Remote Services", "TA0008", "Lateral Movement"),
    "T1557": Technique("Adversary-in-the-Middle", "TA0006", "Credential Access"),
    "T1570": Technique("Lateral Tool Transfer", "TA0008", "Lateral Movement"),
}
