"""A rolling update under random faults keeps its promise at every single write to the store.

A failure names its seed; `python -m kapi.sim --seed N` runs that one again.
"""

import os
import subprocess
import sys

import pytest

from kapi.sim.faults import CALM
from kapi.sim.invariants import InvariantBroken
from kapi.sim.workloads import Outcome, RollingUpdate


def outcome_of(seed: int, workload: RollingUpdate | None = None) -> Outcome:
    workload = workload or RollingUpdate()
    try:
        return workload.run(seed)
    except Exception as error:
        error.add_note(f"seed {seed}; again with: python -m kapi.sim --seed {seed}")
        raise


@pytest.mark.parametrize("seed", range(1, 13))
def test_never_below_the_floor_under_faults(seed: int) -> None:
    outcome = outcome_of(seed)
    assert outcome.lowest >= 3
    assert outcome.faults > 0, "a run without faults shows nothing"


def test_in_calm_weather() -> None:
    outcome = outcome_of(1, RollingUpdate(faults=CALM, rounds=1))
    assert (outcome.faults, outcome.lowest) == (0, 3)


def test_a_broken_promise_is_noticed() -> None:
    """With one pod allowed to be missing, a floor of all pods must be reported as broken."""
    with pytest.raises(InvariantBroken, match="3 pods are available, at least 4 were promised"):
        outcome_of(1, RollingUpdate(faults=CALM, rounds=1, floor=4))


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = outcome_of(3), outcome_of(3)
    assert first == second
    assert first.trace != outcome_of(4).trace


def test_the_command_replays_a_run_whatever_the_hash_seed() -> None:
    expected, path = outcome_of(3), os.pathsep.join(sys.path)
    for hash_seed in ("1", "2"):
        answer = subprocess.run(
            [sys.executable, "-m", "kapi.sim", "--seed", "3"],
            env={
                **os.environ,
                "PYTHONHASHSEED": hash_seed,
                "PYTHONPATH": path,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
        assert f"trace {expected.trace[:16]}" in answer.stdout
