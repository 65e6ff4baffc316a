"""The create-only kinds of authorization.k8s.io."""
