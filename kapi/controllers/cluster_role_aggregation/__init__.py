"""Keeps the rules of aggregated ClusterRoles. Must not touch a role without an aggregationRule."""
