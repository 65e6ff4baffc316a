"""The definitions of every Kubernetes type, from the installed package.

Reading the file and dropping its descriptions takes about 10 ms, once per process and only when a
schema is needed; a copy on disk would save half of that and bring a cache to keep right.
`defaults.json` and `pointers.json` beside this file hold the facts which the package lacks.
"""

from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from kapi import env

PACKAGE_VERSION = "v1.36.0-local"
_PREFIX = "io.k8s."

Definition = dict[str, Any]


def _fact(name: str) -> Any:
    return orjson.loads(files("kapi.api.schema").joinpath(name).read_bytes())


def definitions_file() -> Path:
    """Found without importing the package, whose imports would take ten times the reading."""
    spec = find_spec("kubernetes_validate")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(
            "the package kubernetes-validate, which holds the API's types, is missing"
        )
    folder = Path(spec.submodule_search_locations[0])
    return folder / "kubernetes-json-schema" / PACKAGE_VERSION / "_definitions.json"


def _without_descriptions(node: Any) -> Any:
    if type(node) is dict:
        return {
            key: _without_descriptions(value)
            for key, value in node.items()
            if key != "description" or type(value) is not str
        }
    if type(node) is list:
        return [_without_descriptions(value) for value in node]
    return node


@cache
def definitions() -> dict[str, Definition]:
    """Definition name -> JSON schema with `$defs` references, without descriptions."""
    document = orjson.loads(env.read_bytes(definitions_file()))
    found: dict[str, Definition] = _without_descriptions(document["$defs"])
    return found


@cache
def defaults() -> dict[str, dict[str, Any]]:
    """Definition name -> property -> the value stored where a client leaves it out."""
    facts = _fact("defaults.json")
    return {_PREFIX + name: values for name, values in facts.items()}


@cache
def _pointers() -> dict[str, frozenset[str]]:
    facts = _fact("pointers.json")
    return {name: frozenset(names) for name, names in facts.items()}


def kept_zeros(definition: str) -> frozenset[str]:
    """The properties of a definition whose zero value is stored, not taken for absence.

    They are pointers in Go, or lists that are written even if empty; the facts name group and
    struct, since all versions agree.
    """
    parts = definition.split(".")
    return _pointers().get(f"{parts[-3]}.{parts[-1]}", frozenset())


@cache
def definition_names() -> dict[tuple[str, str, str], str]:
    """(group, version, kind) -> definition name.

    Kinds that exist in every group (DeleteOptions, WatchEvent) map each of their names.
    """
    return {
        (gvk["group"], gvk["version"], gvk["kind"]): name
        for name, definition in definitions().items()
        for gvk in definition.get("x-kubernetes-group-version-kind", ())
    }
