"""Lets a pod reach itself through its Service: hairpin mode on every port of the bridge.

A translated packet between two pods is handed to the bridge, and a bridge gives nothing back to
the port it came from unless that port is in hairpin mode. Docker leaves it off, and every new pod
is a new port, so ports are set as the kernel announces them.
"""

import logging
from pathlib import Path

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl import RTMGRP_LINK

from kapi import env

_log = logging.getLogger(__name__)

_DEVICES = Path("/sys/class/net")
_RETRY_SECONDS = 5.0


async def keep_hairpin_mode(bridge: str) -> None:
    """Set all ports now and every later one as it appears, until cancelled."""
    while True:
        try:
            async with AsyncIPRoute() as netlink:
                await netlink.bind(groups=RTMGRP_LINK)
                set_hairpin_mode(bridge)
                async for event in netlink.get():
                    port = event.get("ifname")
                    if port and (_DEVICES / bridge / "brif" / port).exists():
                        _set(port)
        except (NetlinkError, OSError) as error:
            # A burst of events that overran the socket's buffer ends here, too.
            _log.info("following the ports of %s again after: %s", bridge, error)
            await env.sleep(_RETRY_SECONDS)


def set_hairpin_mode(bridge: str) -> None:
    """Set the ports that the bridge has now."""
    ports = _DEVICES / bridge / "brif"
    if ports.exists():
        for port in sorted(ports.iterdir()):
            _set(port.name)


def _set(port: str) -> None:
    switch = _DEVICES / port / "brport" / "hairpin_mode"
    try:
        if env.read_text(switch).strip() != "1":
            env.append_text(switch, "1")
    except OSError as error:
        _log.debug("hairpin mode of %s cannot be set: %s", port, error)
