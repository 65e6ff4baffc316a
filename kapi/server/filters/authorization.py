"""Asks whether the user may do what the request wants."""

from kapi.api import errors
from kapi.auth.interface import Attributes, Authorizer
from kapi.server.exchange import Exchange, Handler

_PUBLIC = ("/healthz", "/livez", "/readyz", "/version")


def attributes_of(exchange: Exchange) -> Attributes:
    """The question an authorizer is asked about this request."""
    info = exchange.info
    if not info.is_resource:
        return Attributes(exchange.user, exchange.method.lower(), path=exchange.path)
    return Attributes(
        exchange.user,
        info.verb,
        info.group,
        info.version,
        info.resource,
        info.subresource,
        info.namespace,
        info.name,
        exchange.path,
        exchange.param("fieldSelector"),
    )


def forbidden(attributes: Attributes, reason: str) -> errors.Forbidden:
    """403 with upstream's sentence about who may not do what."""
    user = attributes.user.name
    tail = f": {reason}" if reason else ""
    if not attributes.is_resource_request:
        return errors.PathForbidden(
            f'forbidden: User "{user}" cannot {attributes.verb} path "{attributes.path}"{tail}'
        )
    resource = attributes.resource
    if attributes.subresource:
        resource = f"{resource}/{attributes.subresource}"
    text = (
        f'User "{user}" cannot {attributes.verb} resource "{resource}" '
        f'in API group "{attributes.group}"'
    )
    if attributes.namespace:
        text += f' in the namespace "{attributes.namespace}"'
    else:
        text += " at the cluster scope"
    return errors.resource_forbidden(
        attributes.resource, attributes.group, attributes.name, text + tail
    )


def with_authorization(handler: Handler, authorizer: Authorizer) -> Handler:
    async def authorized(exchange: Exchange) -> None:
        attributes = attributes_of(exchange)
        path = exchange.path
        public = not attributes.is_resource_request and any(
            path == item or path.startswith(f"{item}/") for item in _PUBLIC
        )
        if not public:
            decision = authorizer.authorize(attributes)
            if not decision.allowed:
                raise forbidden(attributes, decision.reason)
        await handler(exchange)

    return authorized
