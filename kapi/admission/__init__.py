"""Admission plugins, one per file, called by the generic store's write order.

Owns: mutation and validation that depends on other objects (namespace life cycle, service-account
injection, priority, quotas). Must not: know HTTP, or write to storage; only ResourceQuota does, to
book usage.
"""
