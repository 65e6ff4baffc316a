"""Hands transactions to `nft`, and knows what the kernel was told."""

import logging

import orjson

from kapi import env
from kapi.proxy.ruleset import Ruleset
from kapi.proxy.transaction import Table

_log = logging.getLogger(__name__)

# Upstream deletes unused chains one second after they were emptied.
STALE_SECONDS = 1.0
_TIMEOUT_SECONDS = 60.0


class NftError(Exception):
    """nft refused a transaction, or is not there; the kernel's table is as it was."""


class NftWriter:
    """Owns one table in the kernel. `command` runs nft, elsewhere than here if a test says so."""

    def __init__(self, table_name: str, base: Ruleset, command: tuple[str, ...] = ("nft",)) -> None:
        self._table_name = table_name
        self._command = command
        self.table = Table(table_name, base)
        self._in_step = False
        self._written = -STALE_SECONDS

    @property
    def has_stale(self) -> bool:
        """Whether `write` has deletions to do once STALE_SECONDS have passed."""
        return self._in_step and self.table.has_stale

    def distrust(self) -> None:
        """Make the next `write` put everything again: somebody may have changed the table."""
        self._in_step = False

    async def write(self) -> bool:
        """Bring the kernel in step, in one transaction. False when nothing was to do.

        Raises NftError; the next call then starts from the ground.
        """
        if self._in_step:
            quiet = env.monotonic() - self._written >= STALE_SECONDS
            text = self.table.update(delete_stale=quiet)
            if not text:
                return False
            try:
                await self._transact(text)
            except NftError as error:
                _log.warning("writing the whole table, because a change was refused: %s", error)
                self._in_step = False
        if not self._in_step:
            await self._write_all()
        self._in_step = True
        self._written = env.monotonic()
        return True

    async def cleanup(self) -> None:
        """Remove the table. Raises NftError."""
        self._in_step = False
        await self._transact(self.table.removal())

    async def _write_all(self) -> None:
        existing = await self._existing()
        if existing:
            try:
                await self._transact(self.table.rewrite(existing))
                return
            except NftError as error:
                _log.info("replacing the table, because it cannot be rewritten: %s", error)
        await self._transact(self.table.replacement())

    async def _existing(self) -> dict[str, str]:
        """Names in the kernel's table with their keywords; empty when there is no table."""
        arguments = ["-j", "-t", "list", "table", "ip", self._table_name]
        try:
            result = await env.run_process([*self._command, *arguments], timeout=_TIMEOUT_SECONDS)
        except (OSError, TimeoutError) as error:
            raise NftError(f"nft cannot be run: {error}") from error
        if result.exit_code != 0:
            return {}
        found: dict[str, str] = {}
        for item in orjson.loads(result.stdout)["nftables"]:
            for keyword in ("chain", "set", "map"):
                if keyword in item:
                    found[item[keyword]["name"]] = keyword
        return found

    async def _transact(self, text: str) -> None:
        try:
            result = await env.run_process(
                [*self._command, "-f", "-"], stdin=text.encode(), timeout=_TIMEOUT_SECONDS
            )
        except (OSError, TimeoutError) as error:
            raise NftError(f"nft cannot be run: {error}") from error
        if result.exit_code != 0:
            problem = result.stderr.decode(errors="replace").strip()
            raise NftError(problem[:2000] or f"nft ended with {result.exit_code}")
