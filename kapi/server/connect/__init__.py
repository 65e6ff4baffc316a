"""Subresources that are a conversation instead of an object: log, exec, attach, portforward, proxy.

Owns: finding the kubelet or endpoint behind the request and carrying bytes both ways. Must not:
interpret what flows through beyond what the protocol's own framing needs.
"""
