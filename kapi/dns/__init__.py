"""Cluster DNS: answers for Services and EndpointSlices, forwards everything else.

Must not: know how Services are routed.
"""
