"""Which block a node gets. Pure. Source: upstream `pkg/controller/nodeipam/ipam/cidrset`."""

import ipaddress

DEFAULT_CLUSTER_CIDR = "10.244.0.0/16"
DEFAULT_MASK = 24


class BlocksExhausted(Exception):
    """Every block of the cluster CIDR is taken."""


class Blocks:
    """The blocks of a cluster CIDR. Handed out round-robin, so a freed block rests a while."""

    def __init__(self, cluster_cidr: str = DEFAULT_CLUSTER_CIDR, mask: int = DEFAULT_MASK) -> None:
        self._network = ipaddress.ip_network(cluster_cidr)
        if mask < self._network.prefixlen or mask > self._network.max_prefixlen:
            raise ValueError(f"node mask /{mask} does not fit cluster CIDR {cluster_cidr}")
        self._mask = mask
        self._shift = self._network.max_prefixlen - mask
        self._count = 1 << (mask - self._network.prefixlen)
        self._taken: set[int] = set()
        self._next = 0

    def take(self) -> str:
        """The next free block, `10.244.3.0/24`. Raises BlocksExhausted."""
        for offset in range(self._count):
            index = (self._next + offset) % self._count
            if index not in self._taken:
                self._taken.add(index)
                self._next = (index + 1) % self._count
                return self._name(index)
        raise BlocksExhausted

    def occupy(self, cidr: str) -> None:
        """Mark every block that `cidr` overlaps; one outside the cluster CIDR is ignored."""
        self._taken.update(self._indexes(cidr))

    def release(self, cidr: str) -> None:
        self._taken.difference_update(self._indexes(cidr))

    def _name(self, index: int) -> str:
        address = self._network.network_address + (index << self._shift)
        return f"{address}/{self._mask}"

    def _indexes(self, cidr: str) -> range:
        network = ipaddress.ip_network(cidr, strict=False)
        if network.version != self._network.version or not network.overlaps(self._network):
            return range(0)
        base = int(self._network.network_address)
        first = max(0, (int(network.network_address) - base) >> self._shift)
        last = min(self._count - 1, (int(network.broadcast_address) - base) >> self._shift)
        return range(first, last + 1)
