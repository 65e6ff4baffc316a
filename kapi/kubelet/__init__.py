"""The node agent: turns the pods bound to its node into containers and reports what happens.

Owns: pod workers, probes, volumes, images, the kubelet's HTTPS server and the runtimes (Docker and
simulated). Must not: keep state of its own that labels on containers could hold.
"""
