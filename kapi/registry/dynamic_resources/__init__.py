"""Kinds of resource.k8s.io: devices, their classes, and claims on them."""
