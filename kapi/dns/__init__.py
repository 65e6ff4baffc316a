"""Cluster DNS: answers for Services and EndpointSlices, forwards everything else.

Must not: know how Services are routed.

`records` turns one Service and its slices into ready-made answers; `zone` keeps them by name and
decides what a question gets; `message` is the only place that knows the wire; `forwarder` asks
other servers; `server` listens; `service` makes the kube-dns Service. What is answered follows
the Kubernetes DNS specification and CoreDNS's kubernetes plugin with `pods insecure`.
"""
