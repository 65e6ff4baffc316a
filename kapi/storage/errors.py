"""What can go wrong in storage, in the language of keys and revisions.

A new class is added only if some caller would react differently to it. `registry/errors.py` maps
every class to a Status, and a test proves that map complete.
"""


class StorageError(Exception):
    """Base of everything a store raises on purpose."""


class KeyExists(StorageError):
    def __init__(self, key: str) -> None:
        super().__init__(f"key exists: {key}")
        self.key = key


class KeyNotFound(StorageError):
    def __init__(self, key: str) -> None:
        super().__init__(f"key not found: {key}")
        self.key = key


class RevisionConflict(StorageError):
    """The key is at another revision than the writer expected."""

    def __init__(self, key: str, expected: int, actual: int) -> None:
        super().__init__(f"key {key} is at revision {actual}, not {expected}")
        self.key, self.expected, self.actual = key, expected, actual


class Compacted(StorageError):
    """The revision asked for is older than the history that is kept."""

    def __init__(self, revision: int, oldest: int) -> None:
        super().__init__(f"revision {revision} has been compacted; the oldest is {oldest}")
        self.revision, self.oldest = revision, oldest


class FutureRevision(StorageError):
    """The revision asked for has not happened yet."""

    def __init__(self, revision: int, current: int) -> None:
        super().__init__(f"revision {revision} is in the future; the current one is {current}")
        self.revision, self.current = revision, current


class StorageFull(StorageError):
    """The disk (or etcd's quota) has no room. Nothing was written."""


class StorageUnavailable(StorageError):
    """The backend cannot be reached or has failed; whether a write happened is unknown."""


class WatchLagged(StorageError):
    """A watcher read too slowly and its queue overflowed; it must start again from a list."""
