"""Values as Go's `%v` prints them, for messages that quote a decoded value."""

from typing import Any


def go_value(value: Any) -> str:
    """`map[image:k name:c]`, `[a b]`, `<nil>`: what `%v` makes of decoded JSON."""
    if isinstance(value, dict):
        inner = " ".join(f"{key}:{go_value(value[key])}" for key in sorted(value))
        return f"map[{inner}]"
    if isinstance(value, list):
        return f"[{' '.join(map(go_value, value))}]"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return str(value)
