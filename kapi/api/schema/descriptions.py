"""What the installed package says about single fields; table headers show it.

Kept apart from `definitions`, which drops the texts: only who asks for a Table pays for them.
"""

from functools import cache

import orjson

from kapi import env
from kapi.api.schema.definitions import definitions_file

_PREFIX = "io.k8s."


@cache
def _texts() -> dict[str, dict[str, str]]:
    """Definition name, without `io.k8s.`, -> property -> description."""
    document = orjson.loads(env.read_bytes(definitions_file()))
    return {
        name.removeprefix(_PREFIX): {
            field: str(schema["description"])
            for field, schema in (definition.get("properties") or {}).items()
            if isinstance(schema, dict) and "description" in schema
        }
        for name, definition in document["$defs"].items()
    }


def field_description(reference: str) -> str:
    """The text for `api.apps.v1.DeploymentStatus.replicas`; empty where there is none."""
    definition, _, field = reference.rpartition(".")
    return _texts().get(definition, {}).get(field, "")
