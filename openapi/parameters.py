"""Query and path parameters of operations: names, types and which action takes which.

Upstream: the option types of meta/v1 (ListOptions, CreateOptions, ...) and of core/v1 for the
connect subresources. The descriptions are kapi's own.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    type: Literal["string", "boolean", "integer"]
    description: str
    place: Literal["query", "path"] = "query"


def _table(*rows: Parameter) -> dict[str, Parameter]:
    return {row.name: row for row in rows}


PARAMETERS = _table(
    Parameter("pretty", "string", "If 'true', the answer is indented."),
    Parameter("allowWatchBookmarks", "boolean", "Ask for events of type BOOKMARK."),
    Parameter("continue", "string", "The token of the previous page."),
    Parameter("fieldSelector", "string", "Restrict the answer to objects with these fields."),
    Parameter("labelSelector", "string", "Restrict the answer to objects with these labels."),
    Parameter("limit", "integer", "The largest number of objects in one answer."),
    Parameter("resourceVersion", "string", "How old the answer may be."),
    Parameter("resourceVersionMatch", "string", "How resourceVersion is meant."),
    Parameter("sendInitialEvents", "boolean", "Begin the watch with the objects that exist."),
    Parameter("timeoutSeconds", "integer", "How long a list or watch may take, in seconds."),
    Parameter("watch", "boolean", "Stream changes instead of answering a list."),
    Parameter("dryRun", "string", "'All' runs every stage but does not store anything."),
    Parameter("fieldManager", "string", "The name of who makes this change."),
    Parameter("fieldValidation", "string", "Ignore, Warn or Strict: what to do about bad fields."),
    Parameter("force", "boolean", "Take over fields that other managers own (apply only)."),
    Parameter("gracePeriodSeconds", "integer", "Seconds an object has before it is removed."),
    Parameter(
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "boolean",
        "Delete an object that cannot be read back from the store.",
    ),
    Parameter("orphanDependents", "boolean", "Deprecated; use propagationPolicy."),
    Parameter("propagationPolicy", "string", "Orphan, Background or Foreground."),
    Parameter("command", "string", "The command to run, one argument each."),
    Parameter("container", "string", "The container's name; the only one by default."),
    Parameter("stdin", "boolean", "Connect standard input."),
    Parameter("stdout", "boolean", "Connect standard output."),
    Parameter("stderr", "boolean", "Connect standard error."),
    Parameter("tty", "boolean", "Allocate a terminal."),
    Parameter("ports", "integer", "The ports to forward."),
    Parameter("follow", "boolean", "Keep sending lines as they are written."),
    Parameter("insecureSkipTLSVerifyBackend", "boolean", "Do not verify the kubelet."),
    Parameter("limitBytes", "integer", "Stop after this many bytes."),
    Parameter("previous", "boolean", "The log of the container before this one."),
    Parameter("sinceSeconds", "integer", "Only lines of this many last seconds."),
    Parameter("stream", "string", "All, Stdout or Stderr."),
    Parameter("tailLines", "integer", "Only this many last lines."),
    Parameter("timestamps", "boolean", "Begin each line with its time."),
    Parameter("name", "string", "The object's name.", "path"),
    Parameter("namespace", "string", "The object's namespace.", "path"),
)
PROXY_PATH = Parameter("path", "string", "The path to ask the backend for.")
PROXY_PATH_IN_PATH = Parameter("path", "string", "The path to ask the backend for.", "path")

_LIST_ONLY = ("allowWatchBookmarks", "watch")
_LIST = (
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
)
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_DELETE = (
    "dryRun",
    "gracePeriodSeconds",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "orphanDependents",
    "propagationPolicy",
)
_ATTACH = ("container", "stderr", "stdin", "stdout", "tty")

BY_ACTION: dict[str, tuple[str, ...]] = {
    "get": (),
    "list": _LIST,
    "post": _WRITE,
    "put": _WRITE,
    "patch": (*_WRITE, "force"),
    "delete": _DELETE,
    "deletecollection": tuple(sorted({*_LIST, *_DELETE} - set(_LIST_ONLY))),
}
BY_CONNECT: dict[str, tuple[str, ...]] = {
    "attach": _ATTACH,
    "exec": ("command", *_ATTACH),
    "portforward": ("ports",),
    "log": (
        "container",
        "follow",
        "insecureSkipTLSVerifyBackend",
        "limitBytes",
        "previous",
        "sinceSeconds",
        "stream",
        "tailLines",
        "timestamps",
    ),
}
