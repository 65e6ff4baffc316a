"""Benchmarks: `python -m bench` measures kapi on this machine and prints one table.

Nothing here is a test; the figures depend on the machine. All load goes to loopback and ends by
itself.
"""
