"""Counts and times requests under upstream's metric names.

Source of names, labels and buckets: k8s.io/apiserver `pkg/endpoints/metrics/metrics.go`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from kapi import env
from kapi.server.exchange import Exchange, Handler
from kapi.server.filters.max_in_flight import is_long_running

_LABELS = ("verb", "group", "version", "resource", "subresource", "scope", "component")
_BUCKETS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10)
_BUCKETS_LATE = (15.0, 20.0, 30.0, 45.0, 60.0)

_requests = Counter(
    "apiserver_request_total", "Requests by what they asked and how they ended.", (*_LABELS, "code")
)
_durations = Histogram(
    "apiserver_request_duration_seconds",
    "How long requests took; long-running ones do not count.",
    _LABELS,
    buckets=(*_BUCKETS, *_BUCKETS_LATE),
)
_long_running = Gauge("apiserver_longrunning_requests", "Watches and streams now open.", _LABELS)
_in_flight = Gauge(
    "apiserver_current_inflight_requests", "Requests now running.", ("request_kind",)
)

_VERBS = {"POST": "POST", "PUT": "PUT", "DELETE": "DELETE"}
_MUTATING = ("POST", "PUT", "PATCH", "DELETE")
_METHODS = ("GET", "HEAD", "OPTIONS", *_MUTATING)


def verb_of(exchange: Exchange) -> str:
    """The verb as metrics name it: LIST and WATCH apart from GET, APPLY apart from PATCH."""
    info = exchange.info
    if info.verb in ("list", "watch", "deletecollection"):
        return info.verb.upper()
    if exchange.method == "PATCH":
        media = exchange.header(b"content-type")
        return "APPLY" if media.startswith("application/apply-patch") else "PATCH"
    if info.is_resource and is_long_running(exchange):
        return "CONNECT"
    return _VERBS.get(exchange.method, exchange.method)


def _scope(exchange: Exchange) -> str:
    info = exchange.info
    if not info.is_resource:
        return ""
    if info.name and not info.method_on_collection:
        return "resource"
    return "namespace" if info.namespace else "cluster"


@lru_cache(maxsize=2048)
def _child(metric: Any, *values: str) -> Any:
    """`labels()` costs more than the counting itself, so its results are kept."""
    return metric.labels(*values)


def with_metrics(handler: Handler) -> Handler:
    """Stands outside everything that can refuse a request, so that refusals are counted too."""
    in_flight = {kind: _in_flight.labels(request_kind=kind) for kind in ("mutating", "readOnly")}

    async def measured(exchange: Exchange) -> None:
        long_running = exchange.info.is_resource and is_long_running(exchange)
        running = in_flight["mutating" if exchange.method in _MUTATING else "readOnly"]
        began = env.monotonic()
        if not long_running:
            running.inc()
        try:
            await handler(exchange)
        finally:
            if not long_running:
                running.dec()
            labels = _labels_of(exchange)
            _child(_requests, *labels, str(exchange.status or 0)).inc()
            if not long_running:
                _child(_durations, *labels).observe(env.monotonic() - began)

    return measured


@contextmanager
def counted_as_long_running(exchange: Exchange) -> Iterator[None]:
    """Shows the request as one that is open; the router enters it once it knows the path."""
    if not is_long_running(exchange):
        yield
        return
    gauge = _child(_long_running, *_labels_of(exchange))
    gauge.inc()
    try:
        yield
    finally:
        gauge.dec()


def _labels_of(exchange: Exchange) -> tuple[str, ...]:
    """What the request is counted under: not even what it is about, before that is known."""
    info = exchange.info
    if not exchange.known_path:
        verb = exchange.method if exchange.method in _METHODS else "other"
        return (verb, "", "", "", "", "", "apiserver")
    return (
        verb_of(exchange),
        info.group,
        info.version,
        info.resource,
        info.subresource,
        _scope(exchange),
        "apiserver",
    )
