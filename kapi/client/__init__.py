"""How a component talks to the cluster: transports, typed-by-path requests, informers, work queue,
reconcile loop and leader election.

Must not: import anything of the server side. In one process the transport calls the ASGI app it is
given; across processes it is HTTPS with a kubeconfig.
"""
