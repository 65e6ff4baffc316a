"""`$(NAME)` in environment values, commands and sub-paths. Pure.

Upstream: third_party/forked/golang/expansion. `$$` is a dollar sign, an unknown name stays as it
is written, and so does anything that is not a complete reference.
"""

from collections.abc import Callable, Mapping


class MissingVariable(ValueError):
    """A sub-path needs this variable and it is missing or empty."""


def expand(text: str, lookup: Callable[[str], str]) -> str:
    """Replace every reference by what `lookup` says."""
    out: list[str] = []
    position = 0
    while position < len(text):
        char = text[position]
        if char != "$" or position + 1 >= len(text):
            out.append(char)
            position += 1
            continue
        following = text[position + 1]
        if following == "$":
            out.append("$")
            position += 2
        elif following == "(":
            end = text.find(")", position + 2)
            if end < 0:
                out.append("$(")
                position += 2
            else:
                out.append(lookup(text[position + 2 : end]))
                position = end + 1
        else:
            out.append("$" + following)
            position += 2
    return "".join(out)


def expand_known(text: str, values: Mapping[str, str]) -> str:
    """Unknown names are left as written."""
    return expand(text, lambda name: values.get(name, f"$({name})"))


def expand_strict(text: str, values: Mapping[str, str]) -> str:
    """For subPathExpr. Raises MissingVariable."""

    def lookup(name: str) -> str:
        value = values.get(name, "")
        if not value:
            raise MissingVariable(f"missing value for {name}")
        return value

    return expand(text, lookup)
