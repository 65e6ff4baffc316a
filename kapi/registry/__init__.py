"""What every kind is, and the one generic store that serves them all.

Owns: the order of a write (`store.py`), the strategy protocol (`strategy.py`), the list of
everything served (`table.py`), one folder per API group with one file per kind, and the bridge
from storage errors to Status errors (`errors.py`).

Must not: know HTTP, authentication or admission plugins; a strategy does no I/O.
"""
