"""The shapes of subresource rows that several kinds share."""

from kapi.api.object import GroupVersionKind, Object
from kapi.registry.cells import selector_string
from kapi.registry.resource import ScaleFacts, Subresource
from kapi.registry.status import StatusStrategy
from kapi.registry.strategy import Strategy

STATUS_VERBS = ("get", "patch", "update")
PROXY_VERBS = ("create", "delete", "get", "patch", "update")
STREAM_VERBS = ("create", "get")
CREATE = ("create",)

SCALE = GroupVersionKind("autoscaling", "v1", "Scale")


def core_kind(kind: str) -> GroupVersionKind:
    return GroupVersionKind("", "v1", kind)


def status(main: Strategy, *, kept_metadata: tuple[str, ...] = ()) -> Subresource:
    """The status endpoint of a kind whose own strategy is `main`."""
    strategy = StatusStrategy(main, kept_metadata=kept_metadata)
    return Subresource("status", "store", STATUS_VERBS, strategy=strategy)


def scale(*, plain_selector: bool = False) -> Subresource:
    """The scale endpoint; with `plain_selector` spec.selector is a map of labels."""
    facts = ScaleFacts(_plain_selector if plain_selector else _label_selector)
    return Subresource("scale", "scale", STATUS_VERBS, kind=SCALE, scale=facts)


def proxy(options_kind: str) -> Subresource:
    return Subresource("proxy", "connect", PROXY_VERBS, core_kind(options_kind))


def stream(name: str, options_kind: str) -> Subresource:
    """exec, attach and port-forward."""
    return Subresource(name, "connect", STREAM_VERBS, core_kind(options_kind))


def _label_selector(obj: Object) -> str:
    return selector_string((obj.get("spec") or {}).get("selector"))


def _plain_selector(obj: Object) -> str:
    return selector_string({"matchLabels": (obj.get("spec") or {}).get("selector")})
