"""One file per filter of the request path. A filter wraps a handler and returns a handler.

Must not: know verbs or kinds. The order is fixed in `server/chain.py` and explained there.
"""
