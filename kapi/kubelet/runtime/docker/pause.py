"""The pause program: process 1 of every sandbox, written here byte by byte.

It blocks all signals and waits for them one at a time: SIGTERM and SIGINT end it, SIGCHLD makes it
reap every dead child (in a shared process namespace orphans fall to it), anything else is ignored.
Blocking matters: Linux drops signals with default action for process 1, unless they are blocked.
The ELF file is one loadable segment and needs no compiler, no libc and no registry.
"""

import io
import struct
import tarfile

PAUSE_REPOSITORY = "kapi/pause"
PAUSE_TAG = "1"
PAUSE_IMAGE = f"{PAUSE_REPOSITORY}:{PAUSE_TAG}"

_BASE = 0x400000
_HEADERS = 64 + 56
_ALL_SIGNALS = b"\xff" * 8

_X86_64 = bytes.fromhex(
    # rt_sigprocmask(SIG_BLOCK, &all, NULL, 8)
    "488d355f000000 31ff 31d2 41ba08000000 b80e000000 0f05"
    # wait: rt_sigtimedwait(&all, NULL, NULL, 8)
    "488d3d47000000 31f6 31d2 41ba08000000 b880000000 0f05"
    # SIGTERM or SIGINT: go to exit; not SIGCHLD: go to wait
    "83f80f 7428 83f802 7423 83f811 75d9"
    # reap: while wait4(-1, NULL, WNOHANG, NULL) > 0; then go to wait
    "48c7c7ffffffff 31f6 ba01000000 4531d2 b83d000000 0f05 85c0 7fe4 ebbb"
    # exit: exit(0)
    "31ff b83c000000 0f05"
)


def _aarch64() -> bytes:
    """The same program; every instruction is one 32-bit word."""
    equal, not_equal, greater = 0, 1, 12
    system_call = 0xD4000001

    def load(register: int, value: int) -> int:
        return 0xD2800000 | value << 5 | register

    def branch_if(condition: int, here: int, there: int) -> int:
        return 0x54000000 | ((there - here) & 0x7FFFF) << 5 | condition

    def compare(value: int) -> int:
        return 0xF100001F | value << 10

    def address(register: int, here: int, there: int) -> int:
        return 0x10000000 | ((there - here) & 0x7FFFF) << 5 | register

    wait, reap, leave, data = 6, 18, 27, 30
    minus_one = 0x92800000
    words = [
        load(0, 0), address(1, 1, data), load(2, 0), load(3, 8), load(8, 135), system_call,
        address(0, wait, data), load(1, 0), load(2, 0), load(3, 8), load(8, 137), system_call,
        compare(15), branch_if(equal, 13, leave),
        compare(2), branch_if(equal, 15, leave),
        compare(17), branch_if(not_equal, 17, wait),
        minus_one, load(1, 0), load(2, 1), load(3, 0), load(8, 260), system_call,
        compare(0), branch_if(greater, 25, reap),
    ]  # fmt: skip
    words.append(0x14000000 | ((wait - len(words)) & 0x3FFFFFF))
    words += [load(0, 0), load(8, 93), system_call]
    return struct.pack(f"<{len(words)}I", *words)


def pause_program(architecture: str) -> bytes:
    """A static ELF executable for `x86_64` or `aarch64`. Raises ValueError for another one."""
    if architecture == "x86_64":
        machine, code = 62, _X86_64
    elif architecture == "aarch64":
        machine, code = 183, _aarch64()
    else:
        raise ValueError(f"no pause program for the architecture {architecture!r}")
    size = _HEADERS + len(code) + len(_ALL_SIGNALS)
    identity = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = identity + struct.pack(
        "<HHIQQQIHHHHHH", 2, machine, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return header + segment + code + _ALL_SIGNALS


def pause_layer(architecture: str) -> bytes:
    """The tar archive that becomes the pause image: one file, `/pause`."""
    program = pause_program(architecture)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("pause")
        entry.size, entry.mode = len(program), 0o755
        archive.addfile(entry, io.BytesIO(program))
    return buffer.getvalue()
