"""The pytest plugin: fixtures that give a test a cluster.

Must not: be imported by the package itself.
"""
