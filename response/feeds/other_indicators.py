"""Indicators that a switch cannot match, recognised so that they are skipped by kind.

Feeds mix addresses with domains, URLs, file hashes and mail addresses. Those are readable and of
no use here; a line that is none of these is a mistake, or no feed at all.
"""

from __future__ import annotations

import re

_KINDS = (
    ("a URL", re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")),
    ("a mail address", re.compile(r"[^\s@<>]+@[^\s@<>]+\.[A-Za-z0-9-]+")),
    ("a file hash", re.compile(r"(?:[0-9A-Fa-f]{8}){4,16}")),
    ("a domain", re.compile(r"\*?\.?(?:[A-Za-z0-9_-]{1,63}\.)+[A-Za-z][A-Za-z0-9-]{1,62}\.?")),
)  # fmt: skip
_WRITTEN = {
    "domain": "a domain", "domain_name": "a domain", "hostname": "a domain", "host": "a domain",
    "fqdn": "a domain", "domain|ip": "a domain", "hostname|port": "a domain",
    "url": "a URL", "uri": "a URL", "link": "a URL",
    "md5": "a file hash", "sha1": "a file hash", "sha256": "a file hash", "sha512": "a file hash",
    "md5_hash": "a file hash", "sha1_hash": "a file hash", "sha256_hash": "a file hash",
    "filename": "a file", "mutex": "a mutex", "cve": "a vulnerability", "ja3": "a fingerprint",
    "email": "a mail address", "asn": "an autonomous system", "as": "an autonomous system",
    "btc": "a wallet", "yara": "a rule of another tool", "sigma": "a rule of another tool",
}  # fmt: skip
"""Types as feeds write them, in small letters with ``_`` for spaces."""


def other_indicator(value: str, written: str) -> str | None:
    """What an indicator is that is no address, such as ``a domain``; None when it is no
    indicator that is known. ``written`` is its type as the feed gives it, or empty."""
    word = written.strip().lower().replace(" ", "_").replace("-", "_")
    if word in _WRITTEN:
        return _WRITTEN[word]
    for prefix, kind in (("filehash", "a file hash"), ("email", "a mail address")):
        if word.startswith(prefix):
            return kind
    if word.startswith(("filename|", "malware_sample")):
        return "a file"
    return next((kind for kind, form in _KINDS if form.fullmatch(value)), None)
