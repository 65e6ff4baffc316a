"""The create-only kinds of authentication.k8s.io."""
