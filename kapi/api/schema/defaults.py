"""Closures that fill in defaults: what Go writes although a client left it out.

Two sorts come from the same facts: defaults that upstream declares (a port's protocol is TCP), and
zero values of fields that Go always writes (`resources: {}`, `status: {}`, `restartCount: 0`).
What depends on other fields is the kinds' own work.
"""

from typing import Any

from kapi.api.object import clone
from kapi.api.schema.node import Defaulter, SchemaNode

_PLAIN = (str, int, bool, float)


def has_defaults(node: SchemaNode) -> bool:
    """Is there a default anywhere below the node?

    A cycle counts as having none while it is being looked at: the one recursive type of the API
    (JSONSchemaProps) has none, and schemas of custom resources have no cycles.
    """
    if node.defaults_below is None:
        node.defaults_below = False
        children = [*node.properties.values(), node.additional, node.items]
        node.defaults_below = any(
            child is not None and (child.has_default or has_defaults(child)) for child in children
        )
    return node.defaults_below


def _nothing(_value: Any) -> None:
    return None


def _object_defaulter(node: SchemaNode) -> Defaulter:
    given = [
        (name, child.default, type(child.default) in _PLAIN)
        for name, child in node.properties.items()
        if child.has_default
    ]
    below = [(name, child) for name, child in node.properties.items() if has_defaults(child)]
    steps: list[tuple[str, Defaulter]] = []
    additional = node.additional

    def default(value: Any) -> None:
        if type(value) is not dict:
            return
        for name, preset, plain in given:
            if name not in value:
                value[name] = preset if plain else clone(preset)
        if not steps and below:
            steps.extend((name, defaulter_of(child)) for name, child in below)
        for name, step in steps:
            child = value.get(name)
            if child is not None:
                step(child)
        if additional is not None and has_defaults(additional):
            step = defaulter_of(additional)
            for name, child in value.items():
                if name not in node.properties:
                    step(child)

    return default


def _array_defaulter(items: SchemaNode) -> Defaulter:
    step = defaulter_of(items)

    def default(value: Any) -> None:
        if type(value) is list:
            for item in value:
                step(item)

    return default


def _map_defaulter(additional: SchemaNode) -> Defaulter:
    step = defaulter_of(additional)

    def default(value: Any) -> None:
        if type(value) is dict:
            for item in value.values():
                step(item)

    return default


def defaulter_of(node: SchemaNode) -> Defaulter:
    """The node's defaulter, made on first use."""
    found = node.defaulter
    if found is None:
        if not has_defaults(node):
            found = _nothing
        elif node.kind == "array" and node.items is not None:
            found = _array_defaulter(node.items)
        elif node.kind == "map" and node.additional is not None:
            found = _map_defaulter(node.additional)
        else:
            found = _object_defaulter(node)
        node.defaulter = found
    return found
