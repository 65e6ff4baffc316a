"""What every row of the table promises, checked with one valid and some invalid samples each."""

import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from kapi.api.patch.merge_patch import apply_merge_patch
from kapi.api.schema import kind_schema
from kapi.api.user import UserInfo
from kapi.registry.resource import Resource
from kapi.registry.strategy import RequestContext
from kapi.registry.table import builtin_resources
from kapi.storage.codec import encode

SAMPLES = Path(__file__).parent / "samples"
ROWS = builtin_resources("10.96.0.0/16", (30000, 32767))
NOW = datetime(2024, 1, 1, tzinfo=UTC)


def _ids(row: Resource) -> str:
    return f"{row.qualified}/{row.version}"


def _sample_path(row: Resource) -> Path:
    own = SAMPLES / f"{row.qualified}.{row.version}.yaml"
    return own if own.exists() else SAMPLES / f"{row.qualified}.yaml"


def _samples(row: Resource) -> dict[str, Any]:
    with _sample_path(row).open() as file:
        return dict(yaml.safe_load(file))


def _context() -> RequestContext:
    return RequestContext(UserInfo("admin"), namespace="contract")


def _prepared(row: Resource, obj: dict[str, Any]) -> dict[str, Any]:
    """The object as it is when a create validates it."""
    schema = kind_schema(row.group, row.version, row.kind)
    assert schema is not None
    assert schema.decode(obj) == []
    schema.default(obj)
    row.strategy.default(obj)
    if row.namespaced:
        obj.setdefault("metadata", {})["namespace"] = "contract"
    row.strategy.prepare_for_create(_context(), obj)
    return obj


@pytest.mark.parametrize("row", ROWS, ids=_ids)
def test_every_row_has_a_sample(row: Resource) -> None:
    assert _sample_path(row).exists()


def test_every_sample_has_a_row() -> None:
    assert {path.name for path in SAMPLES.glob("*.yaml")} == {
        _sample_path(row).name for row in ROWS
    }


@pytest.mark.parametrize("row", ROWS, ids=_ids)
def test_the_valid_sample_passes(row: Resource) -> None:
    obj = _prepared(row, _samples(row)["valid"])
    before = copy.deepcopy(obj)
    assert [str(error) for error in row.strategy.validate(obj)] == []
    assert [str(error) for error in row.strategy.validate_update(obj, before)] == []
    row.strategy.warnings(obj, None)
    assert obj == before, "validation and warnings must not change the object"


@pytest.mark.parametrize("row", ROWS, ids=_ids)
def test_defaults_are_idempotent(row: Resource) -> None:
    obj = _prepared(row, _samples(row)["valid"])
    again = copy.deepcopy(obj)
    row.strategy.default(again)
    assert again == obj


@pytest.mark.parametrize("row", ROWS, ids=_ids)
def test_a_table_row_has_a_cell_for_every_column(row: Resource) -> None:
    obj = _prepared(row, _samples(row)["valid"])
    obj.setdefault("metadata", {}).setdefault("name", "sample")
    obj["metadata"]["creationTimestamp"] = "2023-12-31T23:59:00Z"
    cells = row.strategy.table_row(obj, NOW)
    assert len(cells) == len(row.strategy.columns)
    encode({**obj, "cells": cells})


@pytest.mark.parametrize("row", ROWS, ids=_ids)
def test_selectable_fields_are_strings(row: Resource) -> None:
    obj = _prepared(row, _samples(row)["valid"])
    assert all(isinstance(value, str) for value in row.strategy.selectable_fields(obj).values())


@pytest.mark.parametrize("row", [row for row in ROWS if row.to_storage], ids=_ids)
def test_conversion_to_storage_comes_back_the_same(row: Resource) -> None:
    assert row.to_storage is not None
    assert row.from_storage is not None
    obj = _prepared(row, _samples(row)["valid"])
    row.strategy.canonicalize(obj)
    stored = row.to_storage(obj)
    assert row.storage_version is not None
    assert stored["apiVersion"] == row.storage_version.api_version
    assert row.from_storage(stored) == obj


def _invalid() -> list[Any]:
    found = []
    for row in ROWS:
        for index, item in enumerate(_samples(row)["invalid"] or ()):
            found.append(pytest.param(row, index, id=f"{_ids(row)}: {item['about']}"))
    return found


@pytest.mark.parametrize(("row", "index"), _invalid())
def test_an_invalid_sample_gets_its_causes(row: Resource, index: int) -> None:
    samples = _samples(row)
    item = samples["invalid"][index]
    obj = _prepared(row, apply_merge_patch(samples["valid"], item["change"]))
    before = copy.deepcopy(obj)
    assert [str(error) for error in row.strategy.validate(obj)] == item["causes"]
    assert obj == before, "validation must not change the object"


@pytest.mark.parametrize("row", [row for row in ROWS if row.subresource("status")], ids=_ids)
def test_a_status_update_changes_nothing_but_status(row: Resource) -> None:
    endpoint = row.subresource("status")
    assert endpoint is not None
    assert endpoint.strategy is not None
    old = _prepared(row, _samples(row)["valid"])
    new = copy.deepcopy(old)
    new["spec"] = {"other": True}
    new["status"] = {"changed": True}
    endpoint.strategy.prepare_for_update(_context(), new, old)
    assert new.get("spec") == old.get("spec")
    assert new["status"]["changed"] is True


def test_rows_are_unique() -> None:
    names = [(row.group, row.version, row.plural) for row in ROWS]
    assert len(set(names)) == len(names)
