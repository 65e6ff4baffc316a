"""The one bridge from storage errors to Status errors.

`tests/registry/test_errors.py` proves that every class of `storage/errors.py` has its line here.
"""

from collections.abc import Callable

from kapi.api import errors
from kapi.api.errors import ApiError
from kapi.registry.resource import Resource
from kapi.storage import errors as storage_errors

_Bridge = Callable[[storage_errors.StorageError, Resource, str], ApiError]


def _exists(_error: storage_errors.StorageError, resource: Resource, name: str) -> ApiError:
    return errors.resource_already_exists(resource.plural, resource.group, name)


def _missing(_error: storage_errors.StorageError, resource: Resource, name: str) -> ApiError:
    return errors.resource_not_found(resource.plural, resource.group, name)


def _conflict(_error: storage_errors.StorageError, resource: Resource, name: str) -> ApiError:
    return errors.resource_conflict(resource.plural, resource.group, name)


def _compacted(error: storage_errors.StorageError, _resource: Resource, _name: str) -> ApiError:
    assert isinstance(error, storage_errors.Compacted)
    return errors.Expired(
        f"too old resource version: {error.revision} ({error.oldest})",
    )


def _future(error: storage_errors.StorageError, _resource: Resource, _name: str) -> ApiError:
    assert isinstance(error, storage_errors.FutureRevision)
    return too_large_resource_version(error.revision, error.current)


def _full(_error: storage_errors.StorageError, _resource: Resource, _name: str) -> ApiError:
    return errors.InternalError(
        "the storage has no room left: free space on the disk of the data directory, "
        "nothing was written"
    )


def _unavailable(error: storage_errors.StorageError, resource: Resource, _name: str) -> ApiError:
    return errors.ServerTimeout(
        f"the storage behind {resource.qualified} cannot be reached: {error}",
        details={"kind": resource.plural, **({"group": resource.group} if resource.group else {})},
        retry_after=1,
    )


def _lagged(_error: storage_errors.StorageError, _resource: Resource, _name: str) -> ApiError:
    return errors.Expired("the watch fell too far behind and was ended; list again")


def too_large_resource_version(asked: int, current: int) -> ApiError:
    """504 with the cause that tells client-go to retry from the start of its list."""
    return errors.Timeout(
        f"Timeout: Too large resource version: {asked}, current: {current}",
        details={
            "causes": [
                {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
            ],
            "retryAfterSeconds": 1,
        },
    )


BRIDGE: dict[type[storage_errors.StorageError], _Bridge] = {
    storage_errors.KeyExists: _exists,
    storage_errors.KeyNotFound: _missing,
    storage_errors.RevisionConflict: _conflict,
    storage_errors.Compacted: _compacted,
    storage_errors.FutureRevision: _future,
    storage_errors.StorageFull: _full,
    storage_errors.StorageUnavailable: _unavailable,
    storage_errors.WatchLagged: _lagged,
}


def to_api_error(error: storage_errors.StorageError, resource: Resource, name: str) -> ApiError:
    """The Status error a client sees for this storage error."""
    return BRIDGE[type(error)](error, resource, name)
