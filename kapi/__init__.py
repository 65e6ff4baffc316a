"""kapi: a Kubernetes cluster written in Python.

Owns the version that the whole project reports. Must not import anything: every layer may read it.
"""

KUBERNETES_VERSION = "v1.36.2"
"""The API version kapi serves; the only place that names it."""

KAPI_VERSION = "0.1.0"

GIT_VERSION = f"{KUBERNETES_VERSION}+kapi"
"""What `/version` and every node report."""
