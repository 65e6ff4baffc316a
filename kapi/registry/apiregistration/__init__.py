"""Kinds of apiregistration.k8s.io: which server answers for a group and version."""
