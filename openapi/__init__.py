"""What the wire knows about the types: protobuf field numbers, OpenAPI v2 and v3 documents.

Owns the facts that the installed schema package lacks and the documents that `/openapi/v2` and
`/openapi/v3` answer with. It knows the served resources only as rows of `ServedResource`; it reads
no store and handles no request.
"""
