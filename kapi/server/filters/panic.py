"""The outermost guard: whatever goes wrong, the client gets a Status and the log gets the trace."""

import asyncio
import logging

from kapi import env
from kapi.api import errors
from kapi.registry.errors import BRIDGE
from kapi.server.exchange import Exchange, Handler
from kapi.storage.errors import StorageError

_log = logging.getLogger(__name__)


def with_panic_guard(handler: Handler) -> Handler:
    async def guarded(exchange: Exchange) -> None:
        try:
            await handler(exchange)
        except errors.ApiError as error:
            await _answer(exchange, error)
        except StorageError as error:
            await _answer(exchange, _storage_failure(error))
        except asyncio.CancelledError:
            raise
        except (ConnectionError, BrokenPipeError) as error:
            _log.debug("client went away: %s %s: %s", exchange.method, exchange.path, error)
        except Exception:
            incident = env.uuid4()
            _log.exception(
                "request failed, incident %s: %s %s", incident, exchange.method, exchange.path
            )
            await _answer(
                exchange,
                errors.InternalError(
                    f"the server met an internal error; its log has the details under {incident}",
                    details={"causes": [{"message": f"incident {incident}"}]},
                ),
            )

    return guarded


def _storage_failure(error: StorageError) -> errors.ApiError:
    """A storage error that no verb translated: the cluster's, not of one object."""
    assert type(error) in BRIDGE
    return errors.ServerTimeout(f"the storage cannot be reached: {error}", retry_after=1)


async def _answer(exchange: Exchange, error: errors.ApiError) -> None:
    if exchange.started:
        _log.warning(
            "%s %s failed after its answer began: %s", exchange.method, exchange.path, error
        )
        await exchange.send({"type": "http.response.body", "body": b"", "more_body": False})
        return
    await exchange.respond_error(error)
