"""Lets go of volumes, claims and attribute classes that nothing uses any more.

Sources: upstream `pkg/controller/volume/{pvcprotection,pvprotection,vacprotection}`.
"""
