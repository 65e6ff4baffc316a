"""Kinds of certificates.k8s.io: requests for certificates, their approval and their issue."""
