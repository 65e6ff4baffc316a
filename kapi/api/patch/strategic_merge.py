"""Strategic merge patch: objects merge, lists merge by key where their type says so.

Directives: `$patch` (replace, delete), `$retainKeys`, `$setElementOrder/list`,
`$deleteFromPrimitiveList/list`, and null for deletion. Source of the rules, their order and texts:
k8s.io/apimachinery `pkg/util/strategicpatch/patch.go`.
"""

from typing import Any

from kapi.api.errors import ApiError, BadRequest, Invalid, plain_error
from kapi.api.go_format import go_value
from kapi.api.object import clone
from kapi.api.patch.element_order import check_order, identity, in_order
from kapi.api.schema.node import SchemaNode

_DIRECTIVE = "$patch"
_RETAIN_KEYS = "$retainKeys"
_ORDER = "$setElementOrder"
_DELETE_FROM = "$deleteFromPrimitiveList"


def _bad_directive(directive: Any, patch: dict[str, Any]) -> ApiError:
    return plain_error(f"unknown patch type: {directive} in map: {go_value(patch)}")


def _no_merge_key(patch: Any, merge_key: str) -> ApiError:
    return plain_error(f"map: {go_value(patch)} does not contain declared merge key: {merge_key}")


def apply_strategic_merge(doc: Any, patch: Any, node: SchemaNode | None) -> Any:
    """The patched document; `node` is the type of `doc`, None where it is not known.

    Raises BadRequest for a malformed patch or directive, Invalid for lists of lists, and the
    reasonless 500 of upstream where its own code has no Status (a missing merge key, a bad
    order).
    """
    if not isinstance(patch, dict):
        raise BadRequest("invalid JSON document")
    return _merge_map(clone(doc), clone(patch), node)


def _merge_map(original: Any, patch: dict[str, Any], node: SchemaNode | None) -> Any:
    if _DIRECTIVE in patch:
        return _replaced(patch)
    if not isinstance(original, dict):
        original = {}
    _retain_keys(original, patch)
    _merge_ordered_lists(original, patch, node)
    for key, value in patch.items():
        if key.startswith(_DELETE_FROM):
            _delete_from_list(original, _list_name(key, "primitive list"), value)
        elif value is None:
            original.pop(key, None)
        else:
            original[key] = _merged(original.get(key), value, node.child(key) if node else None)
    return original


def _merged(original: Any, value: Any, node: SchemaNode | None) -> Any:
    """The new value of a field, where `value` is the patch's."""
    strategy = node.patch_strategy if node else frozenset()
    if isinstance(original, dict) and isinstance(value, dict):
        return value if "replace" in strategy else _merge_map(original, value, node)
    if isinstance(original, list) and isinstance(value, list):
        if "merge" in strategy and node is not None:
            return _merge_list(original, value, node)
        return value
    return _without_directives(value)


def _replaced(patch: dict[str, Any]) -> dict[str, Any]:
    directive = patch[_DIRECTIVE]
    if directive == "replace":
        del patch[_DIRECTIVE]
        return patch
    if directive == "delete":
        return {}
    raise _bad_directive(directive, patch)


def _without_directives(value: Any) -> Any:
    """A patch's value where the original has none: nulls and directives mean nothing there."""
    if isinstance(value, dict):
        if value.get(_DIRECTIVE) == "delete":
            return {}
        return {
            key: _without_directives(item)
            for key, item in value.items()
            if item is not None and not _is_directive(key)
        }
    if isinstance(value, list):
        return [
            _without_directives(item)
            for item in value
            if not (isinstance(item, dict) and _is_marker(item))
        ]
    return value


def _is_directive(key: str) -> bool:
    return key in (_DIRECTIVE, _RETAIN_KEYS) or key.startswith((_ORDER, _DELETE_FROM))


def _is_marker(item: dict[str, Any]) -> bool:
    """A list element that only tells what to do with others."""
    directive = item.get(_DIRECTIVE)
    return directive == "delete" or (directive is not None and len(item) == 1)


def _retain_keys(original: dict[str, Any], patch: dict[str, Any]) -> None:
    """Clear all fields of `original` that the directive does not name."""
    if _RETAIN_KEYS not in patch:
        return
    retained = patch.pop(_RETAIN_KEYS)
    problem = BadRequest("invalid patch format of retainKeys")
    if not isinstance(retained, list):
        raise problem
    for key, value in patch.items():
        if value is not None and not _is_directive(key) and key not in retained:
            raise problem
    for key in [key for key in original if key not in retained]:
        del original[key]


def _list_name(key: str, what: str) -> str:
    """`$setElementOrder/containers` -> `containers`."""
    _directive, slash, name = key.partition("/")
    if not slash or not name:
        raise BadRequest(f"invalid patch format of {what}")
    return name


def _delete_from_list(original: dict[str, Any], name: str, removed: Any) -> None:
    present = original.get(name)
    if not isinstance(present, list):
        return
    if not isinstance(removed, list):
        raise BadRequest("invalid patch format of primitive list")
    gone = {identity(item, "") for item in removed}
    original[name] = [item for item in present if identity(item, "") not in gone]


def _merge_ordered_lists(
    original: dict[str, Any], patch: dict[str, Any], node: SchemaNode | None
) -> None:
    """Deal with every `$setElementOrder` and the list it speaks of; both leave the patch."""
    for directive in [key for key in patch if key.startswith(_ORDER)]:
        order = patch.pop(directive)
        name = _list_name(directive, "setElementOrder list")
        if not isinstance(order, list):
            raise BadRequest("invalid patch format of setElementOrder list")
        child = node.child(name) if node else None
        merge_key = child.merge_key if child else ""
        before, change = original.get(name), patch.get(name)
        if isinstance(change, list):
            check_order(change, order, merge_key)
        elif name in patch or not isinstance(before, list):
            # Deleted by null, or there is nothing to order.
            continue
        if not isinstance(before, list):
            merged = _without_directives(change)
        elif isinstance(change, list):
            merged = _merged(list(before), change, child)
        else:
            merged = before
        patch.pop(name, None)
        original[name] = in_order(merged, order, before or [], merge_key)


def _merge_list(original: list[Any], patch: list[Any], node: SchemaNode) -> list[Any]:
    if any(isinstance(item, list) for item in (*original, *patch)):
        raise Invalid("lists of lists are not supported")
    if not any(isinstance(item, dict) for item in (*original, *patch)):
        seen: dict[Any, Any] = {}
        for item in (*original, *patch):
            seen.setdefault(identity(item, ""), item)
        return in_order(list(seen.values()), patch, original, "")
    merge_key = node.merge_key
    if not merge_key:
        raise plain_error(f"cannot merge lists without merge key for {node.go_type}")
    kept, changes, replaced = _special_elements(original, patch, merge_key)
    if replaced:
        return changes
    merged = _merge_elements(list(kept), changes, node)
    return in_order(merged, changes, kept, merge_key)


def _special_elements(
    original: list[Any], patch: list[Any], merge_key: str
) -> tuple[list[Any], list[Any], bool]:
    """Carry out the elements with `$patch`: (what is left, plain elements, replace all?)."""
    plain: list[Any] = []
    replaced = False
    for item in patch:
        if not isinstance(item, dict):
            raise BadRequest("invalid JSON document")
        directive = item.get(_DIRECTIVE)
        if directive is None:
            plain.append(item)
        elif directive == "delete":
            if merge_key not in item:
                raise _no_merge_key(item, merge_key)
            gone = identity(item, merge_key)
            original = [one for one in original if identity(one, merge_key) != gone]
        elif directive == "replace":
            replaced = True
        elif directive == "merge":
            raise plain_error("merging lists cannot yet be specified in the patch")
        else:
            raise _bad_directive(directive, item)
    return original, plain, replaced


def _merge_elements(merged: list[Any], changes: list[Any], node: SchemaNode) -> list[Any]:
    merge_key = node.merge_key
    for change in changes:
        if merge_key not in change:
            raise _no_merge_key(change, merge_key)
        wanted = identity(change, merge_key)
        for index, item in enumerate(merged):
            if isinstance(item, dict) and merge_key not in item:
                raise _no_merge_key(item, merge_key)
            if identity(item, merge_key) == wanted:
                merged[index] = _merge_map(item, change, node.items)
                break
        else:
            merged.append(_without_directives(change))
    return merged
