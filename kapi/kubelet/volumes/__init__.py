"""Volumes of pods on the node's disk: what each kind holds, how it is written, how it goes away.

Owns `<data-dir>/pods/<uid>/volumes`, `volume-subpaths` and the mounts below them. Must not: know
containers that run, or talk to the runtime.
"""
