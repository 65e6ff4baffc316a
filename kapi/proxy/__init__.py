"""Service routing on a node: a pure renderer of nftables rules and the writer that applies them.

Must not: let a packet to the service CIDR leave the host untranslated.
"""
