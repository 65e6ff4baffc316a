"""The house rules that a machine can check, over every Python file of the project."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("kapi", "openapi")
MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 80
PARAMETERS_MAX = 7

# What enters only through kapi/env, and what to use instead.
BANNED_CALLS = {
    "time.time": "env.now",
    "time.monotonic": "env.monotonic",
    "time.sleep": "env.sleep",
    "datetime.now": "env.now",
    "datetime.utcnow": "env.now",
    "datetime.datetime.now": "env.now",
    "random.random": "env.random",
    "random.choice": "env.random",
    "random.randint": "env.random",
    "uuid.uuid4": "env.uuid4",
    "uuid.uuid1": "env.uuid4",
    "asyncio.create_task": "env.spawn",
    "asyncio.ensure_future": "env.spawn",
    "asyncio.to_thread": "env.in_thread",
    "asyncio.create_subprocess_exec": "env.run_process",
    "asyncio.create_subprocess_shell": "env.run_process (and never a shell)",
    "subprocess.run": "env.run_process",
    "subprocess.Popen": "env.start_process",
    "os.system": "env.run_process",
    "os.popen": "env.run_process",
}
BANNED_NAMES = {"open": "env.read_text or env.write_text"}
BANNED_FILE_WORDS = ("util", "utils", "helpers", "misc", "common", "manager2")


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def product_sources() -> list[Path]:
    return list(sources(*PACKAGES))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def dotted(node: ast.expr) -> str:
    """`a.b.c` of an attribute chain, empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])


def banned_uses(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        if name in BANNED_CALLS:
            yield node.lineno, name, BANNED_CALLS[name]
        elif name in BANNED_NAMES:
            yield node.lineno, name, BANNED_NAMES[name]


def test_the_check_itself_finds_what_it_looks_for() -> None:
    tree = ast.parse("import time\ntime.time()\nopen('x')\n")
    assert [name for _line, name, _instead in banned_uses(tree)] == ["time.time", "open"]


def test_clock_randomness_files_and_processes_enter_through_env() -> None:
    found = [
        f"{relative(path)}:{line}: {name} (use {instead})"
        for path in product_sources()
        if not relative(path).startswith("kapi/env/")
        for line, name, instead in banned_uses(ast.parse(path.read_text()))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_says_what_it_is(package: str) -> None:
    silent = [
        relative(path)
        for path in sources(package)
        if not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent, silent


def test_every_package_says_what_it_must_not_do() -> None:
    silent = []
    for path in sorted((ROOT / "kapi").iterdir()):
        init = path / "__init__.py"
        if init.exists():
            text = (ast.get_docstring(ast.parse(init.read_text())) or "").lower()
            if "must not" not in text and "must never" not in text:
                silent.append(relative(init))
    assert not silent, silent


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_modules_and_functions_stay_small() -> None:
    found = []
    for path in product_sources():
        lines = len(path.read_text().splitlines())
        if lines > MODULE_LINES_MAX:
            found.append(f"{relative(path)}: {lines} lines")
        for function in functions(path):
            length = (function.end_lineno or function.lineno) - function.lineno + 1
            if length > FUNCTION_LINES_MAX:
                found.append(f"{relative(path)}: {function.name} has {length} lines")
    assert not found, "\n".join(found)


def test_functions_take_few_parameters() -> None:
    """`__init__` and command-line entry points may take more: their callers name each argument."""
    found = []
    for path in product_sources():
        if relative(path).startswith("kapi/cli/"):
            continue
        for function in functions(path):
            arguments = function.args
            positional = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
            count = len([name for name in positional if name not in ("self", "cls")])
            if count > PARAMETERS_MAX and function.name != "__init__":
                found.append(f"{relative(path)}: {function.name} takes {count}")
    assert not found, "\n".join(found)


def test_no_file_is_called_util() -> None:
    found = [relative(path) for path in product_sources() if path.stem in BANNED_FILE_WORDS]
    assert not found, found


def test_nothing_is_left_for_later() -> None:
    word = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    found = [
        f"{relative(path)}:{number}"
        for path in sources("kapi", "openapi", "tests", "e2e", "bench")
        if path != Path(__file__).resolve()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if word.search(line)
    ]
    assert not found, found


def test_nothing_raises_not_implemented() -> None:
    """What is not built answers with errors.NotBuilt (501); abstract classes use Protocol."""
    found = [
        f"{relative(path)}:{node.lineno}"
        for path in product_sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Raise)
        and node.exc is not None
        and dotted(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
        == "NotImplementedError"
    ]
    assert not found, found


def test_importing_the_command_line_is_light() -> None:
    """Daemons start without typer and rich, which cost a quarter of a second."""
    code = (
        "import sys, kapi.cli.daemon; "
        "print([name for name in ('typer', 'rich', 'kubernetes') if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert answer.stdout.strip() == "[]"
