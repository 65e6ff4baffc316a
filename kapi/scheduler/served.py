"""Which of the kinds that the scheduler can use does this server have?"""

import logging
from collections.abc import Iterable

from kapi import env
from kapi.api.errors import ApiError, NotFound
from kapi.client.client import Client, ResourceRef

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0


async def served_resources(client: Client, wanted: Iterable[ResourceRef]) -> frozenset[ResourceRef]:
    """Those of `wanted` that discovery lists. A server that does not answer is waited for."""
    wanted = list(wanted)
    found: set[ResourceRef] = set()
    for path in dict.fromkeys(_group_path(resource) for resource in wanted):
        plurals = await _plurals(client, path)
        found.update(r for r in wanted if _group_path(r) == path and r.plural in plurals)
    return frozenset(found)


def _group_path(resource: ResourceRef) -> str:
    group, version = resource.group, resource.version
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


async def _plurals(client: Client, path: str) -> set[str]:
    while True:
        try:
            answer = await client.request("GET", path)
        except NotFound:
            return set()
        except (ApiError, ConnectionError, TimeoutError) as error:
            _log.info("discovery of %s: %s", path, error)
            await env.sleep(_RETRY_SECONDS)
        else:
            return {item["name"] for item in answer.get("resources") or ()}
