"""Who is asking, and may they: authenticators, authorizers, the cluster PKI and tokens.

Owns: client certificates, static tokens, service-account tokens (issue and check), the RBAC and
node authorizers, the bootstrap roles, and making the cluster's certificates at first start.

Must not: know HTTP routes or the generic store. It reads objects through the small lookup
protocols that `interface.py` declares; the server hands those in.
"""
