"""The policy language as JSON Schema, so that editors complete and check policy files."""

from __future__ import annotations

import json

from policies.language import grammar
from policies.language.kinds import Json

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def policy_schema() -> Json:
    """The schema of one policy file. A file that others include may leave out its headers."""
    return {
        "$schema": DIALECT,
        "title": f"Septum policy, {grammar.API_VERSION}",
        **grammar.DOCUMENT.json(),
    }


def schema_text() -> str:
    return json.dumps(policy_schema(), indent=2) + "\n"
