"""`python -m kapi.sim --seed N`: run one simulation again, or many with `--seeds`."""

import argparse
import logging
import sys
import traceback

from kapi.sim.workloads import RollingUpdate


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 if any seed failed."""
    parser = argparse.ArgumentParser(prog="kapi.sim", description=RollingUpdate.__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, one after another")
    parser.add_argument("--verbose", action="store_true", help="show what components log")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO if chosen.verbose else logging.CRITICAL)
    failed = 0
    for seed in range(chosen.seed, chosen.seed + chosen.seeds):
        failed += not _run(seed)
    return 1 if failed else 0


def _run(seed: int) -> bool:
    try:
        outcome = RollingUpdate().run(seed)
    except Exception:
        traceback.print_exc()
        print(f"seed {seed} failed; again with: python -m kapi.sim --seed {seed}", flush=True)
        return False
    print(
        f"seed {seed}: {outcome.writes} writes, {outcome.faults} faults, "
        f"{outcome.seconds:.0f} virtual s, never fewer than {outcome.lowest} available, "
        f"trace {outcome.trace[:16]}",
        flush=True,
    )
    return True


if __name__ == "__main__":
    sys.exit(main())
