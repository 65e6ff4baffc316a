"""Assigns pods to nodes: queue, cache of nodes, framework and one plugin per file.

Must not: reach the cluster otherwise than through the client; plugins are pure.
"""
