"""Pods as Docker containers.

Owns: the engine connection, the pause image, the pod network and the translation between the
runtime interface and Docker. Labels on containers are the only state. Must not: know pods as API
objects, or talk to the cluster.
"""

from kapi.kubelet.runtime.docker.network import DockerNetwork
from kapi.kubelet.runtime.docker.runtime import DockerRuntime

__all__ = ["DockerNetwork", "DockerRuntime"]
