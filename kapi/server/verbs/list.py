"""LIST: one join of cached bytes, or a page of the past.

Sources: the semantics table of resourceVersion and resourceVersionMatch in the Kubernetes docs
("API concepts"), and k8s.io/apiserver `pkg/storage/continue.go` for the token.
"""

import base64
import binascii
from dataclasses import dataclass
from string import ascii_letters, digits
from typing import Any

import orjson

from kapi.api import errors
from kapi.api.go_numbers import NumberError, parse_uint
from kapi.api.object import Object
from kapi.registry.errors import to_api_error, too_large_resource_version
from kapi.registry.strategy import all_fields
from kapi.server.call import Call
from kapi.server.exchange import JSON, Exchange, int_param
from kapi.server.negotiation import Accepted
from kapi.server.printing import encode, list_document, render_list
from kapi.server.selection import Selection, selection_of
from kapi.storage import codec
from kapi.storage.cached import CachedObject
from kapi.storage.errors import Compacted, StorageError
from kapi.storage.interface import KeyValue

_PAGE = 1000
_WAIT_SECONDS = 3.0

_BASE64 = frozenset(f"{ascii_letters}{digits}-_")


@dataclass(slots=True)
class Page:
    """Part of a list: JSON bytes of each object, and what the list's metadata says."""

    items: list[bytes]
    revision: int
    next_key: str = ""
    remaining: int | None = None

    def metadata(self, prefix: str) -> dict[str, Any]:
        meta: dict[str, Any] = {"resourceVersion": str(self.revision)}
        if self.next_key:
            meta["continue"] = encode_continue(self.revision, self.next_key.removeprefix(prefix))
            if self.remaining:
                meta["remainingItemCount"] = self.remaining
        return meta


def encode_continue(revision: int, start: str) -> str:
    """The opaque token: revision and the first key of the next page (relative to the list)."""
    token = orjson.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start})
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def _bad_continue(why: str) -> errors.BadRequest:
    return errors.BadRequest(f"invalid continue token: continue key is not valid: {why}")


def _token_bytes(token: str) -> bytes:
    """The decoded token. Raises BadRequest with the place of the first foreign character."""
    for index, character in enumerate(token):
        if character not in _BASE64:
            raise _bad_continue(f"illegal base64 data at input byte {index}")
    try:
        return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except binascii.Error:
        raise _bad_continue(f"illegal base64 data at input byte {len(token)}") from None


def decode_continue(token: str) -> tuple[int, str]:
    """Revision (-1: whatever is current) and start key. Raises BadRequest."""
    bad = _bad_continue("it must come from an earlier list")
    raw = _token_bytes(token)
    if raw[:1] not in (b"{", b"[", b'"'):
        first = raw[:1].decode("latin-1")
        raise _bad_continue(f"invalid character '{first}' looking for beginning of value")
    try:
        value = orjson.loads(raw)
        if value["v"] != "meta.k8s.io/v1":
            raise errors.BadRequest(
                f"continue key is not valid: server does not recognize this encoded version "
                f'"{value["v"]}"'
            )
        start, revision = str(value["start"]), int(value["rv"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise bad from error
    if start.startswith("/") or ".." in start.split("/"):
        raise bad
    return revision, start


@dataclass(frozen=True, slots=True)
class ListQuery:
    """The paging and version parameters, checked."""

    limit: int
    token: str
    version: str
    match: str

    @property
    def exact(self) -> bool:
        return self.match == "Exact" or (
            not self.match and bool(self.limit) and self.version not in ("", "0")
        )


def list_query(exchange: Exchange) -> ListQuery:
    """Read and check the parameters. Raises BadRequest and Invalid as upstream."""
    if exchange.param("timeoutSeconds"):
        int_param(exchange, "timeoutSeconds")
    limit = max(0, int_param(exchange, "limit")) if exchange.param("limit") else 0
    if exchange.param("resourceVersion") == "0":
        # As upstream: any version will do, and the whole list is at hand.
        limit = 0
    query = ListQuery(
        limit,
        exchange.param("continue"),
        exchange.param("resourceVersion"),
        exchange.param("resourceVersionMatch"),
    )
    problems = []
    if query.match:
        if not query.version:
            problems.append(
                errors.forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                )
            )
        if query.token:
            problems.append(
                errors.forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden when continue is provided",
                )
            )
        if query.match not in ("Exact", "NotOlderThan"):
            problems.append(
                errors.not_supported(
                    "resourceVersionMatch", query.match, ["Exact", "NotOlderThan", ""]
                )
            )
        elif query.match == "Exact" and query.version == "0":
            problems.append(
                errors.forbidden(
                    "resourceVersionMatch",
                    'resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
                )
            )
    if exchange.flag("sendInitialEvents"):
        problems.append(
            errors.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")
        )
    if problems:
        raise errors.object_invalid("ListOptions", "meta.k8s.io", "", problems)
    if query.token and query.version not in ("", "0"):
        raise errors.BadRequest("specifying resource version is not allowed when using continue")
    try:
        parse_uint(query.version or "0")
    except NumberError as error:
        raise errors.BadRequest(
            f'invalid resource version: resourceVersion: Invalid value: "{query.version}": {error}'
        ) from error
    return query


async def list_page(call: Call, query: ListQuery, selection: Selection) -> Page:
    """The objects a list request selects."""
    resource = call.resource
    prefix = f"{resource.prefix}{call.namespace}/" if call.namespace else resource.prefix
    try:
        if query.token:
            revision, start = decode_continue(query.token)
            return await _continued(call, prefix, prefix + start, revision, query, selection)
        if query.exact:
            return await _stored(call, prefix, prefix, int(query.version), query.limit, selection)
        return await _cached(call, prefix, prefix, query, selection)
    except Compacted as error:
        raise _expired(call, error, query, prefix) from error
    except StorageError as error:
        raise to_api_error(error, resource, "") from error


async def _continued(
    call: Call, prefix: str, start: str, revision: int, query: ListQuery, selection: Selection
) -> Page:
    if revision < 0:
        return await _cached(call, prefix, start, query, selection)
    return await _stored(call, prefix, start, revision, query.limit, selection)


async def _cached(
    call: Call, prefix: str, start: str, query: ListQuery, selection: Selection
) -> Page:
    """From the cache, at its present revision."""
    cache = call.store.backing.cache
    wanted = int(query.version or 0)
    if query.version == "":
        await call.store.fresh()
    elif wanted > cache.revision:
        current = await call.store.backing.store.current_revision()
        if wanted > current:
            raise too_large_resource_version(wanted, current)
        await cache.wait_for(wanted, _WAIT_SECONDS)
    entries = cache.list(prefix, start)
    revision = cache.revision
    if not selection.everything:
        entries = [entry for entry in entries if selection.matches(entry)]
    page = Page([], revision)
    if query.limit and len(entries) > query.limit:
        page.next_key = entries[query.limit].key
        if selection.everything:
            page.remaining = len(entries) - query.limit
        entries = entries[: query.limit]
    page.items = [call.store.external_bytes(entry) for entry in entries]
    return page


async def _stored(
    call: Call, prefix: str, start: str, revision: int, limit: int, selection: Selection
) -> Page:
    """From the store, as it was at `revision`."""
    store = call.store.backing.store
    page = Page([], revision)
    while True:
        wanted = limit - len(page.items) if limit and selection.everything else _PAGE
        found = await store.range(prefix, start=start, limit=wanted, revision=revision)
        for index, item in enumerate(found.items):
            full = bool(limit) and len(page.items) == limit
            if full and selection.everything:
                page.next_key, page.remaining = item.key, found.remaining + len(found.items) - index
                return page
            data = _selected(call, item, selection)
            if data is None:
                continue
            if full:
                page.next_key = item.key
                return page
            page.items.append(data)
        if not found.remaining:
            return page
        start = found.items[-1].key + "\0"
        if limit and len(page.items) == limit and selection.everything:
            page.next_key, page.remaining = start, found.remaining
            return page


def _selected(call: Call, item: KeyValue, selection: Selection) -> bytes | None:
    """The object's bytes for the wire, None if it is not selected."""
    resource = call.resource
    data = codec.with_revision(item.value, item.revision)
    if selection.everything and resource.from_storage is None:
        return data
    obj = call.store.to_external(data)
    entry = CachedObject(
        item.key, item.revision, data, _labels(obj), all_fields(resource.strategy, obj), ()
    )
    if not selection.matches(entry):
        return None
    return orjson.dumps(obj) if resource.from_storage else data


def _labels(obj: Object) -> dict[str, str]:
    return obj.get("metadata", {}).get("labels") or {}


def _expired(call: Call, error: Compacted, query: ListQuery, prefix: str) -> errors.ApiError:
    """410; a continued list also gets a token that goes on with the present state."""
    if not query.token:
        return to_api_error(error, call.resource, "")
    _revision, start = decode_continue(query.token)
    return InconsistentContinue(encode_continue(-1, start))


class InconsistentContinue(errors.Expired):
    """Expired, with a token in the Status's metadata for those who accept an inconsistent list."""

    def __init__(self, token: str) -> None:
        super().__init__(
            "The provided continue parameter is too old to display a consistent list result. "
            "You can start a new list without the continue parameter, or use the continue token "
            "in this response to retrieve the remainder of the results. Continuing with the "
            "provided token results in an inconsistent list - objects that were created, modified, "
            "or deleted between the time the first chunk was returned and now may show up in the "
            "list."
        )
        self.token = token

    def status(self) -> Object:
        return {**super().status(), "metadata": {"continue": self.token}}


async def list_(call: Call) -> None:
    form = call.form()
    include = call.include() if form.as_kind == "Table" else ""
    query = list_query(call.exchange)
    selection = selection_of(call.exchange, call.resource)
    page = await list_page(call, query, selection)
    resource = call.resource
    prefix = f"{resource.prefix}{call.namespace}/" if call.namespace else resource.prefix
    meta = page.metadata(prefix)
    if resource.is_custom:
        await call.exchange.respond(*_custom_list(call, page, meta, form, include))
        return
    if form.is_plain_json:
        head = (
            f'{{"kind":"{resource.list_kind}","apiVersion":"{resource.gvk.api_version}",'
            f'"metadata":{orjson.dumps(meta).decode()},"items":['
        )
        typed = f'{{"kind":"{resource.kind}","apiVersion":"{resource.gvk.api_version}",'.encode()
        items = [without_type(item, typed) for item in page.items]
        body = b"%b%b]}" % (head.encode(), b",".join(items))
        await call.exchange.respond(200, body, JSON)
        return
    objects = [orjson.loads(item) for item in page.items]
    body = render_list(resource, objects, meta, form, include)
    await call.exchange.respond(200, body, form.content_type)


def _custom_list(
    call: Call, page: Page, meta: dict[str, Any], form: Accepted, include: str
) -> tuple[int, bytes, str]:
    """The answer for a custom kind, whose items say what they are and whose token is never left
    out: upstream's are encoded as untyped objects."""
    resource = call.resource
    if form.as_kind:
        objects = [orjson.loads(item) for item in page.items]
        return 200, render_list(resource, objects, meta, form, include), form.content_type
    meta = {"continue": "", **meta}
    if not form.is_plain_json:
        document = list_document(resource, [orjson.loads(item) for item in page.items], meta)
        return 200, encode(document, form), form.content_type
    head = (
        f'{{"kind":"{resource.list_kind}","apiVersion":"{resource.gvk.api_version}",'
        f'"metadata":{orjson.dumps(meta).decode()},"items":['
    )
    return 200, b"%b%b]}" % (head.encode(), b",".join(page.items)), JSON


def without_type(data: bytes, typed: bytes) -> bytes:
    """An item as lists show it: kind and apiVersion are the list's to say."""
    return b"{" + data[len(typed) :] if data.startswith(typed) else data
