"""Create-only kinds: the object posted is a question, and comes back with its status filled in.

Source: k8s.io/kubernetes `pkg/registry/{authorization,authentication}`.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from kapi import env
from kapi.api import errors
from kapi.api.object import Object, metadata
from kapi.api.patch.apply import track_update
from kapi.api.schema import kind_schema
from kapi.api.selectors import FieldSelector
from kapi.api.user import UserInfo
from kapi.auth.interface import Attributes, Credentials
from kapi.auth.rules import PolicyRule
from kapi.registry.authorization.selectors import selector_complaints
from kapi.server.call import Call
from kapi.server.decoding import read_object
from kapi.server.negotiation import require_no_conversion

Review = Callable[[Call, Object], Awaitable[Object]]


async def create_review(call: Call) -> None:
    """Judge the question and answer 201 with its status; nothing is stored."""
    require_no_conversion(call.form())
    ctx = call.context()
    review = await read_object(call.exchange, call.body_kind, call.strategy)
    meta = metadata(review)
    if call.resource.namespaced:
        meta["namespace"] = call.namespace
    resource = call.resource
    if resource.kind == "TokenReview" and not (review.get("spec") or {}).get("token"):
        raise errors.BadRequest("token is required for TokenReview in authentication")
    if resource.kind == "SelfSubjectReview":
        meta["creationTimestamp"] = env.timestamp()
    schema = kind_schema(resource.group, resource.version, resource.kind)
    if schema is not None:
        manager = ctx.field_manager or "unknown"
        track_update(None, review, manager=manager, schema=schema, now=env.timestamp())
    problems = call.strategy.validate(review)
    if problems:
        # The authorization group's errors name no kind, as upstream.
        kind = "" if resource.group == "authorization.k8s.io" else resource.kind
        raise errors.object_invalid(kind, resource.group, "", problems)
    status = await _REVIEWS[resource.kind](call, review)
    if resource.kind == "SelfSubjectRulesReview":
        # Its answer repeats nothing of the question, as upstream.
        review["metadata"], review["spec"] = {}, {}
    review["status"] = status
    await call.exchange.respond(201, orjson.dumps(review))


def _attributes(user: UserInfo, spec: Object) -> Attributes:
    wanted = spec.get("resourceAttributes")
    if wanted:
        return Attributes(
            user,
            verb=wanted.get("verb", ""),
            group=wanted.get("group", ""),
            version=wanted.get("version", "") or "*",
            resource=wanted.get("resource", ""),
            subresource=wanted.get("subresource", ""),
            namespace=wanted.get("namespace", ""),
            name=wanted.get("name", ""),
            field_selector=_field_selector(wanted.get("fieldSelector") or {}),
        )
    other = spec.get("nonResourceAttributes") or {}
    return Attributes(user, verb=other.get("verb", ""), path=other.get("path", ""))


def _field_selector(asked: Object) -> str:
    """The equalities of a review's selector, as a request would spell them."""
    pairs = [
        (item.get("key", ""), item["values"][0])
        for item in asked.get("requirements") or ()
        if item.get("operator") == "In" and len(item.get("values") or ()) == 1
    ]
    return asked.get("rawSelector") or str(
        FieldSelector(tuple((key, "=", value) for key, value in pairs))
    )


def _access_status(call: Call, user: UserInfo, spec: Object) -> Object:
    decision = call.api.authorizer.authorize(_attributes(user, spec))
    status: Object = {"allowed": decision.allowed}
    if decision.reason:
        status["reason"] = decision.reason
    ignored = selector_complaints(spec.get("resourceAttributes") or {})
    if ignored:
        status["evaluationError"] = "; ".join(ignored)
    return status


async def _self_access(call: Call, review: Object) -> Object:
    return _access_status(call, call.exchange.user, review["spec"])


async def _access(call: Call, review: Object) -> Object:
    spec = review["spec"]
    extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
    user = UserInfo(
        spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), extra
    )
    return _access_status(call, user, spec)


async def _rules(call: Call, review: Object) -> Object:
    namespace = review["spec"].get("namespace", "")
    if not namespace:
        raise errors.BadRequest("no namespace on request")
    rules = call.api.rbac.rules_for(call.exchange.user, namespace)
    return {
        "resourceRules": [_shown(rule, _RESOURCE_RULE) for rule in rules if rule.resources],
        "nonResourceRules": [_shown(rule, _PATH_RULE) for rule in rules if rule.paths],
        "incomplete": False,
    }


_RESOURCE_RULE = ("verbs", "apiGroups", "resources", "resourceNames")
_PATH_RULE = ("verbs", "nonResourceURLs")


def _shown(rule: PolicyRule, keys: tuple[str, ...]) -> Object:
    """Part of a rule, in the order in which it is stored."""
    return {key: list(rule.source[key]) for key in keys if rule.source.get(key)}


def _user_status(user: UserInfo) -> Object:
    status: dict[str, Any] = {"username": user.name}
    if user.uid:
        status["uid"] = user.uid
    if user.groups:
        status["groups"] = list(user.groups)
    if user.extra:
        status["extra"] = {key: list(values) for key, values in user.extra.items()}
    return status


async def _self_subject(call: Call, _review: Object) -> Object:
    return {"userInfo": _user_status(call.exchange.user)}


async def _token(call: Call, review: Object) -> Object:
    """Whose token is it? An unknown one is an answer, not an error."""
    spec = review["spec"]
    own = call.api.config.token_issuer.audiences
    wanted = list(dict.fromkeys(spec.get("audiences") or own))

    async def owner(*audiences: str) -> UserInfo | None:
        credentials = Credentials(bearer_token=spec["token"], audiences=audiences)
        try:
            return await call.api.authenticator.authenticate(credentials)
        except errors.Unauthorized:
            return None

    foreign = tuple(audience for audience in wanted if audience not in own)
    here = await owner() if len(foreign) < len(wanted) else None
    # One by one only once the token is known to be good: a bad one costs a signature each time.
    elsewhere = await owner(*foreign) if foreign else None
    user = here or elsewhere
    if user is None:
        return {"user": {}, "error": "invalid bearer token"}
    meant = [
        audience
        for audience in wanted
        if (here if audience in own else elsewhere and await owner(audience))
    ]
    return {"authenticated": True, "user": _user_status(user), "audiences": meant}


_REVIEWS: dict[str, Review] = {
    "SelfSubjectAccessReview": _self_access,
    "SubjectAccessReview": _access,
    "LocalSubjectAccessReview": _access,
    "SelfSubjectRulesReview": _rules,
    "SelfSubjectReview": _self_subject,
    "TokenReview": _token,
}
