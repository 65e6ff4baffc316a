"""Kinds of flowcontrol.apiserver.k8s.io: how the API server shares itself among requests."""
