"""Pieces of table cells that several kinds share.

Source of the shapes: k8s.io/kubernetes `pkg/printers/internalversion/printers.go`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from kapi.api.object import Object

NONE = "<none>"
UNSET = "<unset>"
UNKNOWN = "<unknown>"

MAXIMUM_SHOWN = 3
"""Endpoints, ports and keys listed in a cell before `+ N more...`."""


def key_values(pairs: Mapping[str, str] | None) -> str:
    """`a=b,c=d` in key order, `<none>` if there is nothing."""
    if not pairs:
        return NONE
    return ",".join(f"{key}={value}" for key, value in sorted(pairs.items()))


def label_selector_text(selector: Mapping[str, Any] | None) -> str:
    """A metav1.LabelSelector in the string form of selectors, `<none>` where it is empty.

    An absent selector matches nothing and prints as `<none>` too.
    """
    return selector_string(selector) or NONE


def selector_string(selector: Mapping[str, Any] | None) -> str:
    """A metav1.LabelSelector as clients pass it in `labelSelector=`."""
    if not selector:
        return ""
    terms = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for item in selector.get("matchExpressions") or ():
        key, operator = item.get("key", ""), item.get("operator", "")
        values = ",".join(sorted(item.get("values") or ()))
        text = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }.get(operator, "")
        terms.append((key, text))
    return ",".join(text for _, text in sorted(terms, key=lambda term: term[0]))


def containers_and_images(pod_spec: Object) -> tuple[str, str]:
    """Two wide cells: the names and the images of a template's containers."""
    containers = pod_spec.get("containers") or ()
    return (
        ",".join(str(item.get("name", "")) for item in containers),
        ",".join(str(item.get("image", "")) for item in containers),
    )


def more(shown: Iterable[str], total: int) -> str:
    """Joined with commas, with `+ N more...` for what `shown` leaves out."""
    items = list(shown)
    text = ",".join(items)
    return f"{text} + {total - len(items)} more..." if total > len(items) else text
