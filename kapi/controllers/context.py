"""What every controller is given."""

from dataclasses import dataclass
from typing import Protocol

from kapi.client.client import Client
from kapi.client.events import EventRecorder
from kapi.client.informers import Informers


@dataclass(frozen=True, slots=True)
class ControllerContext:
    """`client` acts under the controller's own identity; `informers` are shared by all."""

    client: Client
    informers: Informers
    recorder: EventRecorder


class Controller(Protocol):
    """A controller wires its informers when made and works while `run` runs."""

    async def run(self) -> None: ...
