"""Lets a user act as another one, if authorization allows each part of that identity.

Source: k8s.io/apiserver `pkg/endpoints/filters/impersonation.go`.
"""

from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import unquote

from kapi.api import errors
from kapi.api.user import (
    ANONYMOUS,
    GROUP_AUTHENTICATED,
    GROUP_UNAUTHENTICATED,
    SERVICE_ACCOUNT_PREFIX,
    UserInfo,
)
from kapi.auth.interface import Attributes, Authorizer
from kapi.server.exchange import Exchange, Handler
from kapi.server.filters.authorization import attributes_of, forbidden

_EXTRA = b"impersonate-extra-"


def requested_identity(headers: list[tuple[bytes, bytes]]) -> UserInfo | None:
    """The identity the Impersonate-* headers ask for. Raises BadRequest when parts lack a user."""
    name, uid = "", ""
    groups: list[str] = []
    extra: dict[str, tuple[str, ...]] = {}
    for key, raw in headers:
        value = raw.decode("utf-8", "replace")
        if key == b"impersonate-user":
            name = value
        elif key == b"impersonate-uid":
            uid = value
        elif key == b"impersonate-group":
            groups.append(value)
        elif key.startswith(_EXTRA):
            field = unquote(key[len(_EXTRA) :].decode("latin-1")).lower()
            extra[field] = (*extra.get(field, ()), value)
    if not name:
        if uid or groups or extra:
            raise errors.BadRequest(
                f"requested {_go_user(uid, groups, extra)} without impersonating a user name"
            )
        return None
    return UserInfo(name, uid, tuple(groups), extra)


def _go_user(uid: str, groups: list[str], extra: dict[str, tuple[str, ...]]) -> str:
    """The identity as Go prints its struct, which is what upstream's message shows."""

    def strings(items: Iterable[str]) -> str:
        return "[]string{" + ", ".join(f'"{item}"' for item in items) + "}"

    shown_groups = strings(groups) if groups else "[]string(nil)"
    shown_extra = "map[string][]string(nil)"
    if extra:
        pairs = ", ".join(f'"{key}":{strings(extra[key])}' for key in sorted(extra))
        shown_extra = "map[string][]string{" + pairs + "}"
    return f'&user.DefaultInfo{{Name:"", UID:"{uid}", Groups:{shown_groups}, Extra:{shown_extra}}}'


def questions(user: UserInfo, wanted: UserInfo) -> list[Attributes]:
    """What `user` must be allowed in order to become `wanted`."""
    asked = []
    if wanted.name.startswith(SERVICE_ACCOUNT_PREFIX) and wanted.name.count(":") == 3:
        namespace, name = wanted.name.removeprefix(SERVICE_ACCOUNT_PREFIX).split(":")
        asked.append(
            Attributes(
                user,
                "impersonate",
                version="v1",
                resource="serviceaccounts",
                namespace=namespace,
                name=name,
            )
        )
    else:
        asked.append(
            Attributes(user, "impersonate", version="v1", resource="users", name=wanted.name)
        )
    for group in wanted.groups:
        asked.append(Attributes(user, "impersonate", version="v1", resource="groups", name=group))
    api = "authentication.k8s.io"
    if wanted.uid:
        asked.append(Attributes(user, "impersonate", api, "v1", "uids", name=wanted.uid))
    for field, values in wanted.extra.items():
        for value in values:
            asked.append(
                Attributes(user, "impersonate", api, "v1", "userextras", field, name=value)
            )
    return asked


def completed(wanted: UserInfo) -> UserInfo:
    """The identity with the groups that authentication would have added."""
    groups = list(wanted.groups)
    if wanted.name.startswith(SERVICE_ACCOUNT_PREFIX) and not groups:
        namespace = wanted.name.removeprefix(SERVICE_ACCOUNT_PREFIX).split(":")[0]
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    special = (GROUP_AUTHENTICATED, GROUP_UNAUTHENTICATED)
    if wanted.name == ANONYMOUS:
        if GROUP_UNAUTHENTICATED not in groups:
            groups.append(GROUP_UNAUTHENTICATED)
    elif not any(group in special for group in groups):
        groups.append(GROUP_AUTHENTICATED)
    return UserInfo(wanted.name, wanted.uid, tuple(groups), wanted.extra)


_CONSTRAINED = {"users": "user-info", "serviceaccounts": "serviceaccount"}


def _refusal(exchange: Exchange, asked: Attributes, reason: str) -> errors.Forbidden:
    """403. For the user itself it names the constrained form of 1.36, which upstream tries last."""
    form = _CONSTRAINED.get(asked.resource)
    if form is None:
        return forbidden(asked, reason)
    request = attributes_of(exchange)
    return forbidden(replace(request, verb=f"impersonate-on:{form}:{request.verb}"), reason)


def with_impersonation(handler: Handler, authorizer: Authorizer) -> Handler:
    async def impersonating(exchange: Exchange) -> None:
        wanted = requested_identity(exchange.scope["headers"])
        if wanted is not None:
            for attributes in questions(exchange.user, wanted):
                decision = authorizer.authorize(attributes)
                if not decision.allowed:
                    raise _refusal(exchange, attributes, decision.reason)
            exchange.user = completed(wanted)
        await handler(exchange)

    return impersonating
