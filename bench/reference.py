"""A kube-apiserver to compare with, started on an etcd of its own if its program is given.

The program's path comes from the environment variable KUBE_APISERVER; kapi does not ship one.
"""

import os
import shutil
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bench.load import Connection, Target
from e2e.harness import free_port

_TOKEN = "bench-admin"
_READY_S = 60.0


def program() -> Path | None:
    """The kube-apiserver to compare with, None if none is given."""
    given = os.environ.get("KUBE_APISERVER", "")
    return Path(given) if given else None


@contextmanager
def kube_apiserver(binary: Path) -> Iterator[Target]:
    """Runs etcd and kube-apiserver on loopback for the time of the block."""
    etcd = shutil.which("etcd")
    if etcd is None:
        raise FileNotFoundError("etcd is missing: run e2e/install-system.sh as root")
    with tempfile.TemporaryDirectory(prefix="kapi-bench-") as folder:
        home = Path(folder)
        client, peer, port = free_port(), free_port(), free_port()
        etcd_url, peer_url = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        etcd_command = [
            etcd,
            f"--data-dir={home / 'etcd'}",
            f"--listen-client-urls={etcd_url}",
            f"--advertise-client-urls={etcd_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=default={peer_url}",
        ]
        running = [_start(etcd_command, home / "etcd.log")]
        try:
            command = _apiserver_command(binary, home, etcd_url, port)
            running.append(_start(command, home / "apiserver.log"))
            yield _target(home, port)
        finally:
            for process in reversed(running):
                process.terminate()
                process.wait(30)


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as stream:
        return subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)


def _apiserver_command(binary: Path, home: Path, etcd_url: str, port: int) -> list[str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key_file, tokens = home / "sa.key", home / "tokens.csv"
    for path in (key_file, tokens):
        path.touch(0o600)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    tokens.write_text(f'{_TOKEN},admin,admin,"system:masters"\n')
    return [
        str(binary),
        f"--etcd-servers={etcd_url}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        f"--cert-dir={home / 'certificates'}",
        f"--token-auth-file={tokens}",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key_file}",
        f"--service-account-signing-key-file={key_file}",
        # No controller makes the accounts that pods would need.
        "--disable-admission-plugins=ServiceAccount",
    ]


def _target(home: Path, port: int) -> Target:
    """Waits for the server's own certificate, then until it says that it is ready."""
    import asyncio

    certificate = home / "certificates" / "apiserver.crt"
    ends = time.monotonic() + _READY_S
    while time.monotonic() < ends:
        try:
            tls = ssl.create_default_context(cadata=certificate.read_text())
            tls.check_hostname = False
            target = Target("127.0.0.1", port, tls, _TOKEN)
            answer = asyncio.run(Connection(target).request("GET", "/readyz"))
            if answer.status == 200:
                return target
        except (OSError, asyncio.IncompleteReadError):
            pass
        time.sleep(0.1)
    raise TimeoutError((home / "apiserver.log").read_text()[-2000:])
