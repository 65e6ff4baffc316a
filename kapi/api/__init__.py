"""The pure core of the Kubernetes API: no I/O, no clock, no server.

Owns: group/version/kind names, Status errors and field errors, quantities, selectors, schemas
(defaulting, pruning, type checks), the patch formats and protobuf-independent object helpers.
API objects are plain dicts as orjson reads them; there is no class per kind.

Must not: know storage, HTTP or any component. Everything above imports this; it imports only
`kapi.env` for timestamps.
"""
