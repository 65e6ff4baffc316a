"""Builds one document in a process of its own: the request on stdin, the bytes on stdout.

The definitions take tens of megabytes while a document is made. In a process of its own that
memory is given back at once, and the server's event loop never waits.
"""

import sys

from openapi.build import build

if __name__ == "__main__":
    sys.stdout.buffer.write(build(sys.stdin.buffer.read()))
