"""A revisioned key-value log with three backends, and the watch cache above it.

Owns: keys, values as bytes, revisions, watches, history and compaction. One revision counter
serves the whole cluster, as in etcd.

Must not: know Kubernetes kinds, Status errors or HTTP. Values are opaque except to the codec,
which knows where a resourceVersion goes.
"""
