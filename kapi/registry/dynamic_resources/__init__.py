"""Kinds of resource.k8s.io: devices, their classes, and claims on them.

CEL expressions of selectors are stored as they come: only their presence and length are judged.
"""
