"""Facts about the machine a node runs on."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kapi import env

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """`capacity` in the spelling of the API: cpu, memory, ephemeral-storage, pods, hugepages."""

    capacity: Mapping[str, str] = field(default_factory=dict)
    machine_id: str = ""
    system_uuid: str = ""
    boot_id: str = ""
    kernel_version: str = ""
    os_image: str = ""
    architecture: str = "amd64"
    swap_bytes: int = 0


def read_machine(data_dir: str, max_pods: int) -> MachineFacts:
    """Blocking: call it in a thread."""
    memory = _memory_info()
    space = os.statvfs(data_dir)
    capacity = {
        "cpu": str(os.cpu_count() or 1),
        "ephemeral-storage": f"{space.f_blocks * space.f_frsize // 1024}Ki",
        "memory": f"{memory.get('MemTotal', 0)}Ki",
        "pods": str(max_pods),
    }
    for pages in Path("/sys/kernel/mm/hugepages").glob("hugepages-*kB"):
        size = int(pages.name.removeprefix("hugepages-").removesuffix("kB"))
        count = int(_read(pages / "nr_hugepages") or 0)
        name = f"{size // 1048576}Gi" if size >= 1048576 else f"{size // 1024}Mi"
        capacity[f"hugepages-{name}"] = str(count * size * 1024) if count else "0"
    return MachineFacts(
        capacity=capacity,
        machine_id=_read("/etc/machine-id"),
        system_uuid=_read("/sys/class/dmi/id/product_uuid") or _read("/etc/machine-id"),
        boot_id=_read("/proc/sys/kernel/random/boot_id"),
        kernel_version=platform.release(),
        os_image=_os_image(),
        architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()),
        swap_bytes=memory.get("SwapTotal", 0) * 1024,
    )


def _memory_info() -> dict[str, int]:
    """The kernel's memory figures in KiB."""
    found = {}
    for line in env.read_text("/proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        found[name] = int(rest.split()[0])
    return found


def _os_image() -> str:
    for line in _read("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return "Linux"


def _read(path: str | Path) -> str:
    try:
        return env.read_text(path).strip()
    except OSError:
        return ""
