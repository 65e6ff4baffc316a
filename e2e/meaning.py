"""Compares what a server answered by meaning: what must be there, whatever else is there too."""

from typing import Any

import yaml


def differences(actual: Any, expected: Any, path: str = "") -> list[str]:
    """Where `actual` does not hold what `expected` asks for; empty if it holds all of it.

    Objects may have more fields than asked for; `None` asks for a field to be absent. Lists are
    compared item by item. A function asks for anything it says yes to.
    """
    if callable(expected):
        return [] if expected(actual) else [f"{path}: {actual!r} is not what was asked for"]
    if isinstance(expected, dict) and isinstance(actual, dict):
        found = []
        for key, value in expected.items():
            if value is None:
                if key in actual:
                    found.append(f"{path}.{key}: {actual[key]!r} should be absent")
            elif key not in actual:
                found.append(f"{path}.{key}: absent, expected {value!r}")
            else:
                found += differences(actual[key], value, f"{path}.{key}")
        return found
    if isinstance(expected, list) and isinstance(actual, list):
        if len(actual) != len(expected):
            return [f"{path}: {len(actual)} items, expected {len(expected)}: {actual!r}"]
        pairs = enumerate(zip(actual, expected, strict=True))
        return [said for at, (a, e) in pairs for said in differences(a, e, f"{path}[{at}]")]
    return [] if actual == expected else [f"{path}: {actual!r}, expected {expected!r}"]


def assert_holds(actual: Any, expected: str | dict[str, Any]) -> None:
    """Fails with every difference; `expected` may be YAML text."""
    wanted = yaml.safe_load(expected) if isinstance(expected, str) else expected
    found = differences(actual, wanted)
    assert not found, "\n".join(found)


def columns(table: str) -> list[dict[str, str]]:
    """The rows of a printed table by header; cells are parted by two spaces or where headers begin.

    kubectl pads every column, so a cell begins where its header begins.
    """
    header, *rows = table.rstrip("\n").split("\n")
    starts = [at for at, sign in enumerate(header) if sign != " " and _begins(header, at)]
    ends = [*starts[1:], None]
    names = [header[start:end].strip() for start, end in zip(starts, ends, strict=True)]
    return [
        {name: row[start:end].strip() for name, start, end in zip(names, starts, ends, strict=True)}
        for row in rows
    ]


def _begins(header: str, at: int) -> bool:
    """Whether a header word begins here: the first one, or one after a gap of several spaces."""
    return at == 0 or header[max(0, at - 2) : at] == "  "
