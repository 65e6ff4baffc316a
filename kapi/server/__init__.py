"""The HTTP face of the API server.

Owns: the request path as one list (`chain.py`), filters, one file per verb, discovery, OpenAPI
documents, Table printing, the watch stream, connect handlers and the HTTP engine.

Must not: hold rules about a kind (those are strategies) or decide how things are stored.
"""
