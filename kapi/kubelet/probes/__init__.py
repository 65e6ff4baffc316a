"""Liveness, readiness and startup probes: when to ask, how to ask, what an answer means.

Upstream: pkg/kubelet/prober and pkg/probe. Must not: stop containers; results are read by the pod
worker, which acts on them.
"""
