"""Image names: the default tag, the registry, pull policy. Pure.

Upstream: pkg/util/parsers, distribution/reference.
"""

import re
from dataclasses import dataclass

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|[-]+)[a-z0-9]+)*"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])"
_REFERENCE = re.compile(
    rf"^(?P<name>(?:{_HOST}(?::[0-9]+)?/)?{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?"
    r"(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?$"
)
_IMAGE_ID = re.compile(r"^[0-9a-f]{64}$")
DEFAULT_REGISTRY = "docker.io"


class InvalidImageName(ValueError):
    """The text is the waiting message."""


@dataclass(frozen=True, slots=True)
class ImageReference:
    """`name` as it was written; `registry` where it would be pulled from."""

    name: str
    tag: str
    digest: str

    @property
    def complete(self) -> str:
        """With the default tag filled in."""
        tag = self.tag or ("" if self.digest else "latest")
        return self.name + (f":{tag}" if tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def registry(self) -> str:
        head, slash, _ = self.name.partition("/")
        if slash and ("." in head or ":" in head or head == "localhost"):
            return head
        return DEFAULT_REGISTRY


def parse_image(image: str) -> ImageReference:
    """Raises InvalidImageName."""
    why = ""
    if _IMAGE_ID.match(image):
        why = "invalid repository name, cannot specify 64-byte hexadecimal strings"
    else:
        match = _REFERENCE.match(image)
        if match is not None:
            return ImageReference(match["name"], match["tag"] or "", match["digest"] or "")
        lower = _REFERENCE.match(image.lower())
        why = "invalid reference format"
        if lower is not None:
            why += ": repository name must be lowercase"
    raise InvalidImageName(
        f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": {why}'
    )


def pull_policy(container_policy: str, reference: ImageReference) -> str:
    """Always, IfNotPresent or Never."""
    if container_policy:
        return container_policy
    latest = not reference.digest and reference.tag in ("", "latest")
    return "Always" if latest else "IfNotPresent"
