"""The only door to wall clock, randomness, ids, files, processes and background tasks.

Everything that would make two runs of the same seed differ passes here, so that the simulation can
replace it. This package must not know Kubernetes: no object, no Status, no import from kapi.

`tests/test_tidy.py` refuses direct use of `time.time`, `datetime.now`, `random`, `uuid`,
`asyncio.create_task`, `subprocess` and `open` anywhere else in the package.
"""

from kapi.env.clock import (
    Clock,
    SystemClock,
    format_micro_time,
    format_time,
    from_timestamp,
    parse_time,
)
from kapi.env.current import (
    install,
    micro_timestamp,
    monotonic,
    name_suffix,
    now,
    random,
    simulated,
    sleep,
    threads_allowed,
    timestamp,
    uuid4,
)
from kapi.env.files import (
    append_text,
    hold_lock,
    make_dir,
    private_file,
    read_bytes,
    read_tail,
    read_text,
    write_bytes,
    write_private,
    write_text,
)
from kapi.env.processes import ProcessResult, run_module, run_process, start_process
from kapi.env.tasks import TaskScope, in_thread, share_interpreter, spawn, start_thread

__all__ = [
    "Clock",
    "ProcessResult",
    "SystemClock",
    "TaskScope",
    "append_text",
    "format_micro_time",
    "format_time",
    "from_timestamp",
    "hold_lock",
    "in_thread",
    "install",
    "make_dir",
    "micro_timestamp",
    "monotonic",
    "name_suffix",
    "now",
    "parse_time",
    "private_file",
    "random",
    "read_bytes",
    "read_tail",
    "read_text",
    "run_module",
    "run_process",
    "share_interpreter",
    "simulated",
    "sleep",
    "spawn",
    "start_process",
    "start_thread",
    "threads_allowed",
    "timestamp",
    "uuid4",
    "write_bytes",
    "write_private",
    "write_text",
]
