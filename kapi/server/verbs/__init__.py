"""One file per verb, and one per custom subresource.

A verb reads the request, calls the generic store and renders the answer. Must not: hold rules of
a kind or know storage keys.
"""
