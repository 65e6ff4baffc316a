"""Content types: what a client accepts, and what its body is.

kapi writes JSON, YAML, and their Table and PartialObjectMetadata forms. Most clients that prefer
Kubernetes protobuf offer JSON as well, and get it: it is at hand and costs nothing to make. Those
that take protobuf only get protobuf.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from kapi.api import errors

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
_AVAILABLE = f"{JSON}, {YAML}, {PROTOBUF}"

As = Literal["", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The chosen form: encoding, and the meta.k8s.io kind to convert to (empty for none)."""

    media_type: str
    as_kind: As = ""
    as_version: str = "v1"

    @property
    def is_plain_json(self) -> bool:
        return self.media_type == JSON and not self.as_kind

    @property
    def content_type(self) -> str:
        return self.media_type


def split_media_type(text: str) -> tuple[str, dict[str, str]]:
    """`application/json;as=Table;v=v1` -> (`application/json`, {as: Table, v: v1})."""
    media, *parameters = text.split(";")
    found: dict[str, str] = {}
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        found[key.strip().lower()] = value.strip().strip('"')
    return media.strip().lower(), found


@lru_cache(maxsize=256)
def accepted(header: str) -> Accepted:
    """The first clause kapi can serve. Raises NotAcceptable."""
    if not header.strip():
        return Accepted(JSON)
    clauses = [split_media_type(clause) for clause in header.split(",")]
    clauses.sort(key=lambda clause: -_quality(clause[1]))
    unknown_form, binary = False, None
    for media, parameters in clauses:
        if media == "*/*" and "as" not in parameters:
            return Accepted(JSON)
        if media == PROTOBUF:
            binary = binary or _conversion(media, parameters)
            continue
        if media not in (JSON, YAML):
            continue
        chosen = _conversion(media, parameters)
        if chosen is not None:
            return chosen
        unknown_form = True
    if binary is not None:
        return binary
    if unknown_form:
        raise errors.PlainNotAcceptable(
            f"only the following media types are accepted: {_AVAILABLE}"
        )
    raise not_acceptable()


def require_no_conversion(form: Accepted) -> None:
    """For answers that have no Table or metadata form. Raises NotAcceptable."""
    if form.as_kind:
        raise errors.PlainNotAcceptable(
            f"only the following media types are accepted: {_AVAILABLE}"
        )


def not_acceptable() -> errors.NotAcceptable:
    return errors.NotAcceptable(f"406: Not Acceptable\n\nAvailable representations: {_AVAILABLE}")


def _quality(parameters: dict[str, str]) -> float:
    try:
        return float(parameters.get("q", "1"))
    except ValueError:
        return 1.0


def _conversion(media: str, parameters: dict[str, str]) -> Accepted | None:
    kind = parameters.get("as", "")
    if not kind:
        return Accepted(media)
    group, version = parameters.get("g", ""), parameters.get("v", "")
    if group != "meta.k8s.io" or version not in ("v1", "v1beta1"):
        return None
    if kind == "Table":
        return Accepted(media, "Table", version)
    if kind == "PartialObjectMetadata":
        return Accepted(media, "PartialObjectMetadata", version)
    if kind == "PartialObjectMetadataList":
        return Accepted(media, "PartialObjectMetadataList", version)
    return None


def body_media_type(header: str) -> str:
    """What the body is: JSON when nothing is said. Raises UnsupportedMediaType."""
    if not header:
        return JSON
    media, _parameters = split_media_type(header)
    if media not in (JSON, YAML, PROTOBUF):
        raise errors.UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            f"{_AVAILABLE}"
        )
    return media
