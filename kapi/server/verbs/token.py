"""POST serviceaccounts/NAME/token: a TokenRequest is answered with a signed, bound token.

Source: k8s.io/kubernetes `pkg/registry/core/serviceaccount/storage/token.go` and
`pkg/apis/authentication/validation`.
"""

import orjson

from kapi import env
from kapi.api import errors
from kapi.api.object import Object, metadata, uid_of
from kapi.api.patch.apply import track_update
from kapi.api.schema import kind_schema
from kapi.registry.admission import AdmissionRequest
from kapi.registry.strategy import RequestContext
from kapi.server.call import Call
from kapi.server.decoding import read_object

_MINIMUM_SECONDS = 600
_MAXIMUM_SECONDS = 1 << 32
_DEFAULT_SECONDS = 3600
_BINDABLE = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}


async def create_token(call: Call) -> None:
    exchange = call.exchange
    ctx = call.context()
    account = await call.store.get(call.namespace, call.name)
    request = await read_object(exchange, call.body_kind, None)
    _check_metadata(call, request, account)
    spec = request.setdefault("spec", {})
    issuer = call.api.config.token_issuer
    spec.setdefault("boundObjectRef", None)
    seconds = spec.get("expirationSeconds")
    if seconds is None:
        seconds = spec["expirationSeconds"] = _DEFAULT_SECONDS
    problems = []
    if seconds < _MINIMUM_SECONDS:
        problems.append(
            errors.invalid(
                "spec.expirationSeconds",
                seconds,
                "may not specify a duration less than 10 minutes",
            )
        )
    elif seconds > _MAXIMUM_SECONDS:
        problems.append(
            errors.invalid(
                "spec.expirationSeconds",
                seconds,
                "may not specify a duration larger than 2^32 seconds",
            )
        )
    if problems:
        raise errors.object_invalid(
            "TokenRequest", "authentication.k8s.io", metadata(request).get("name", ""), problems
        )
    await _admit(call, ctx, request)
    bound = _bound_object(call, spec["boundObjectRef"])
    node = _node_of(call, bound)
    meta = metadata(request)
    meta.update(name=call.name, namespace=call.namespace, creationTimestamp=env.timestamp())
    meta["uid"] = uid_of(account)
    schema = kind_schema("authentication.k8s.io", "v1", "TokenRequest")
    if schema is not None:
        track_update(
            None,
            request,
            manager=ctx.field_manager or "unknown",
            schema=schema,
            now=env.timestamp(),
            subresource="token",
        )
    # After the books are closed: nobody owns audiences that nobody asked for.
    spec["audiences"] = spec.get("audiences") or list(issuer.audiences)
    issued = issuer.issue(
        account,
        audiences=tuple(spec["audiences"]),
        expiration_seconds=int(seconds),
        bound_object=bound,
        node=node,
    )
    request["status"] = {
        "token": issued.token,
        "expirationTimestamp": issued.expiration_timestamp,
    }
    await exchange.respond(201, orjson.dumps(request))


async def _admit(call: Call, ctx: RequestContext, request: Object) -> None:
    """The plugins' judgement: a node, say, may not ask for just any token."""
    admission = AdmissionRequest(
        "CREATE", call.resource, "token", call.namespace, call.name, request, None, ctx
    )
    await call.api.backing.admission.validate(admission)


def _check_metadata(call: Call, request: Object, account: Object) -> None:
    meta = metadata(request)
    problems = []
    for field, own, word in (
        ("name", call.name, "service account name"),
        ("namespace", call.namespace, "service account namespace"),
    ):
        if meta.get(field) and meta[field] != own:
            problems.append(
                errors.invalid(
                    f"metadata.{field}", meta[field], f"must match the {word} if specified"
                )
            )
    if problems:
        raise errors.object_invalid("TokenRequest", "authentication.k8s.io", call.name, problems)
    uid = meta.get("uid")
    if uid and uid != uid_of(account):
        raise errors.resource_conflict(
            "serviceaccounts",
            "",
            call.name,
            f"the UID in the token request ({uid}) does not match the UID of the service account",
        )


def _bound_object(call: Call, reference: Object | None) -> Object | None:
    """The object the token shall live and die with. Raises NotFound, Conflict, BadRequest."""
    if not reference:
        return None
    kind, name = str(reference.get("kind", "")), str(reference.get("name", ""))
    api_version = str(reference.get("apiVersion", ""))
    if kind not in _BINDABLE:
        group, _, version = api_version.rpartition("/")
        raise errors.BadRequest(
            f"cannot bind token to object of type {group}/{version}, Kind={kind}"
        )
    if not name:
        raise errors.BadRequest("Name parameter required.")
    plural = _BINDABLE[kind]
    namespace = "" if kind == "Node" else call.namespace
    found = call.api.lookup.get(plural, namespace, name)
    if found is None:
        raise errors.resource_not_found(plural, "", name)
    uid = reference.get("uid")
    if uid and uid != uid_of(found):
        raise errors.Conflict(
            f'Operation cannot be fulfilled on {kind} "{name}": the UID in the bound object '
            f"reference ({uid}) does not match the UID in record. The object might have been "
            "deleted and then recreated",
            details={"name": name, "kind": kind},
        )
    if kind == "Pod" and found["spec"].get("serviceAccountName", "default") != call.name:
        raise errors.BadRequest(
            f'cannot bind token for serviceaccount "{call.name}" to pod running with different '
            "serviceaccount name."
        )
    return found


def _node_of(call: Call, bound: Object | None) -> Object | None:
    """The node a bound pod runs on: its tokens name it."""
    if bound is None or bound.get("kind") != "Pod":
        return None
    name = bound["spec"].get("nodeName")
    return call.api.lookup.get("nodes", "", name) if name else None
