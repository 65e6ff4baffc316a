"""Service routing on a node: a pure renderer of nftables rules and the writer that applies them.

Must not: let a packet to the service CIDR leave the host untranslated.

The way of a change: `service_proxy` notes which Services an informer event touches, `model` reads
the Service and its EndpointSlices, `endpoints` decides which endpoints get traffic, `render` turns
that into the Service's share of the table, `transaction` compares it with what the kernel has, and
`writer` hands the difference to `nft` as one transaction. `host` owns what is not in the table:
the route of the service CIDR, sysctls, and the hole in Docker's forward policy. `conntrack`
forgets UDP flows whose endpoint is gone. Roles of chains, sets and maps follow upstream's
pkg/proxy/nftables, so that whoever can read a kube-proxy table can read this one.
"""
