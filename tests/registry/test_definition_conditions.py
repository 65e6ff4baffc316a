"""Which names a definition gets and what its conditions say: planned from what is there."""

from typing import Any

from kapi.registry.apiextensions.conditions import (
    FINALIZER,
    begin_termination,
    condition,
    is_served,
    planned_status,
)

NOW, LATER = "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"


def definition(plural: str = "foos", kind: str = "Foo", **status: Any) -> dict[str, Any]:
    names = {"plural": plural, "kind": kind, "singular": kind.lower(), "listKind": f"{kind}List"}
    return {
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {"group": "example.com", "names": names, "versions": []},
        "status": {"acceptedNames": {"kind": "", "plural": ""}, "storedVersions": ["v1"], **status},
    }


def settled(given: dict[str, Any], *others: dict[str, Any]) -> dict[str, Any]:
    """The definition once planning changes nothing any more; three steps must do."""
    for _ in range(3):
        status = planned_status(given, others, NOW)
        if status is None:
            return given
        given = {**given, "status": status}
    assert planned_status(given, others, NOW) is None
    return given


def test_it_is_established_in_two_steps_and_served_before_it_says_so() -> None:
    given = definition()
    assert not is_served(given)
    given["status"] = planned_status(given, [], NOW)
    assert condition(given, "Established")["reason"] == "Installing"
    assert is_served(given)
    given["status"] = planned_status(given, [], NOW)
    assert condition(given, "Established")["status"] == "True"
    assert planned_status(given, [], LATER) is None


def test_names_go_to_whoever_is_first() -> None:
    first = settled(definition("foos", "Foo"))
    second = settled(definition("bars", "Foo"), first)
    accepted = condition(second, "NamesAccepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "ListKindConflict")
    assert accepted["message"] == '"FooList" is already in use'
    assert condition(second, "Established")["reason"] == "NotAccepted"
    assert second["status"]["acceptedNames"] == {"plural": "bars", "kind": ""}
    assert not is_served(second)


def test_a_name_that_becomes_free_is_taken() -> None:
    first = settled(definition("foos", "Foo"))
    second = settled(definition("bars", "Foo"), first)
    assert is_served(settled(second))


def test_an_established_definition_stays_so_with_the_names_it_has() -> None:
    one = settled(definition("foos", "Foo"))
    two = settled(definition("bars", "Bar"))
    one["spec"]["names"]["shortNames"] = ["bars"]
    one = settled(one, two)
    assert condition(one, "NamesAccepted")["reason"] == "ShortNamesConflict"
    assert condition(one, "Established")["status"] == "True"
    assert "shortNames" not in one["status"]["acceptedNames"]


def test_times_change_with_the_status_only() -> None:
    given = settled(definition())
    given["spec"]["conversion"] = {"strategy": "Webhook"}
    status = planned_status(given, [], LATER)
    assert status is not None
    times = {item["type"]: item["lastTransitionTime"] for item in status["conditions"]}
    assert times == {
        "NamesAccepted": NOW, "Established": NOW, "ConversionWebhookSupported": LATER
    }  # fmt: skip


def test_deletion_is_held_back_until_the_objects_are_gone() -> None:
    given = settled(definition())
    begin_termination(given, LATER)
    begin_termination(given, LATER)
    assert given["metadata"]["finalizers"] == [FINALIZER]
    assert condition(given, "Terminating")["reason"] == "InstanceDeletionPending"
