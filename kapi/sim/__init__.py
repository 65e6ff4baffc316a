"""A whole cluster in one event loop, under a virtual clock and a seed.

Owns: the loop, the environment it installs, faults and workloads. Must not: be imported by
anything but tests and the command line.
"""
