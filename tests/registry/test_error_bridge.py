"""Every storage error has its Status, and nothing else is in the map."""

import pytest

from kapi.api.errors import ApiError
from kapi.registry.errors import BRIDGE, to_api_error
from kapi.registry.table import builtin_resources
from kapi.storage import errors as storage_errors

EXAMPLES = {
    storage_errors.KeyExists: (storage_errors.KeyExists("k"), 409),
    storage_errors.KeyNotFound: (storage_errors.KeyNotFound("k"), 404),
    storage_errors.RevisionConflict: (storage_errors.RevisionConflict("k", 1, 2), 409),
    storage_errors.Compacted: (storage_errors.Compacted(1, 2), 410),
    storage_errors.FutureRevision: (storage_errors.FutureRevision(2, 1), 504),
    storage_errors.StorageFull: (storage_errors.StorageFull("full"), 500),
    storage_errors.StorageUnavailable: (storage_errors.StorageUnavailable("gone"), 500),
    storage_errors.WatchLagged: (storage_errors.WatchLagged("slow"), 410),
}


def test_the_map_is_complete():
    assert set(BRIDGE) == set(storage_errors.StorageError.__subclasses__())
    assert set(BRIDGE) == set(EXAMPLES)


@pytest.mark.parametrize("kind", list(EXAMPLES), ids=lambda kind: kind.__name__)
def test_each_error_becomes_its_status(kind):
    pods = next(
        row for row in builtin_resources("10.96.0.0/16", (30000, 32767)) if row.plural == "pods"
    )
    error, code = EXAMPLES[kind]
    found = to_api_error(error, pods, "x")
    assert isinstance(found, ApiError)
    assert (found.code, found.status()["code"]) == (code, code)
