"""Deletes what has lost its owners, and carries foreground and orphan deletion out.

`graph` is the pure model of who owns what; `controller` follows every resource and acts.
Source: upstream `pkg/controller/garbagecollector`.
"""
