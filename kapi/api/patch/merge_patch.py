"""RFC 7396 JSON merge patch: null deletes, objects merge, everything else replaces."""

from typing import Any

from kapi.api.object import clone


def apply_merge_patch(doc: Any, patch: Any) -> Any:
    """The patched document. A patch that is not an object replaces the document."""
    if not isinstance(patch, dict):
        return clone(patch)
    result = dict(doc) if isinstance(doc, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply_merge_patch(result.get(key), value)
    return {key: value if key in patch else clone(value) for key, value in result.items()}
