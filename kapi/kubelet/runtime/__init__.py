"""What runs containers: Docker, or nothing at all (simulated).

Owns: sandboxes, containers, images and the byte streams in and out of them. Must not: know the
API server, pod status or restart policy; it is told what to do and reports what is.
"""
