"""Command-line options as frozen dataclasses, and the ones several commands share."""

import dataclasses
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from kapi.cli.errors import CliError

T = TypeVar("T")


def default_data_dir() -> Path:
    """`/var/lib/kapi` for root, `~/.local/share/kapi` for everyone else."""
    if os.geteuid() == 0:
        return Path("/var/lib/kapi")
    return Path.home() / ".local" / "share" / "kapi"


DataDirOption = Annotated[
    Path, typer.Option(help="Where the cluster keeps its data.", envvar="KAPI_DATA_DIR")
]
KubeconfigOption = Annotated[
    Path, typer.Option(help="Kubeconfig with the address of the API server and credentials.")
]


def command_of(options: type[T], run: Callable[[T], None]) -> Callable[..., None]:
    """A function with one parameter per field of `options`, as the command-line library wants it.

    The fields' annotations carry the help text; the command's help is the docstring of `run`.
    """
    hints = get_type_hints(options, include_extras=True)
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=_default(field),
            annotation=hints[field.name],
        )
        for field in dataclasses.fields(options)  # type: ignore[arg-type]
    ]

    def command(**values: Any) -> None:
        run(options(**values))

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = hints
    command.__doc__ = run.__doc__
    return command


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return inspect.Parameter.empty


def existing_file(path: Path) -> Path:
    """Raises CliError if there is no such file."""
    if not path.is_file():
        raise CliError(f"{path} does not exist")
    return path
