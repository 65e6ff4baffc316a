"""The test images, tried with Docker alone, so that a failure elsewhere is not theirs."""

import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import eventually, run

_BUILD = Path(__file__).parent / "images" / "build.sh"


@pytest.fixture
def web(images: None) -> Iterator[str]:
    """The id of a running `kapi-test/web:v1`."""
    container = run(["docker", "run", "--detach", "kapi-test/web:v1"]).stdout.strip()
    yield container
    run(["docker", "rm", "--force", container])


def url_of(container: str) -> str:
    address = run(
        ["docker", "inspect", "--format", "{{.NetworkSettings.IPAddress}}", container]
    ).stdout.strip()
    return f"http://{address}:8080"


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


def answered(url: str) -> str:
    try:
        return get(url)
    except OSError:
        return ""


def test_second_build_builds_nothing(images: None) -> None:
    assert run([_BUILD]).stdout == ""


def test_web_answers_version_and_hostname(web: str) -> None:
    url = url_of(web)
    assert eventually(lambda: answered(f"{url}/")) == f"v1 {web[:12]}\n"
    assert get(f"{url}/healthz") == "ok\n"
    assert "version=v1" in get(f"{url}/cgi-bin/whoami")


def test_web_serves_on_for_a_while_after_it_is_told_to_end(web: str) -> None:
    url = url_of(web)
    eventually(lambda: answered(f"{url}/"))
    with ThreadPoolExecutor() as pool:
        stopping = pool.submit(run, ["docker", "stop", "--time", "20", web])
        asked_until = time.monotonic() + 1
        while time.monotonic() < asked_until:
            assert get(f"{url}/").startswith("v1 ")
        stopping.result()
    state = run(["docker", "inspect", "--format", "{{.State.ExitCode}}", web]).stdout.strip()
    assert state == "0"
