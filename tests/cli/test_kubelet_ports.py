"""Several kubelets share a machine, each on a port of its own."""

import socket

import pytest

from kapi.cli.kubelets import free_port


def test_ports_that_somebody_holds_are_passed_over() -> None:
    with socket.socket() as first:
        first.bind(("127.0.0.1", 0))
        first.listen()
        taken = first.getsockname()[1]
        if taken > 65000:
            pytest.skip("no room above the port the kernel chose")
        found = free_port(["127.0.0.1"], taken)
        assert taken < found <= taken + 500
    assert free_port(["127.0.0.1"], taken) == taken
