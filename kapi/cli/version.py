"""`kapi version`."""

from dataclasses import dataclass

import typer

from kapi import KAPI_VERSION, KUBERNETES_VERSION
from kapi.cli.options import command_of


@dataclass(frozen=True, slots=True)
class VersionOptions:
    """`kapi version` takes no options."""


def run(_options: VersionOptions) -> None:
    """Print kapi's version and the version of the Kubernetes API it serves."""
    typer.echo(f"kapi {KAPI_VERSION} (Kubernetes {KUBERNETES_VERSION})")


command = command_of(VersionOptions, run)
