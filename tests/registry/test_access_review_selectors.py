"""Selectors that access reviews ignore, because no authorizer can use them."""

from typing import Any

import pytest

from kapi.registry.authorization.selectors import selector_complaints

FIELD = "spec.resourceAttributes.fieldSelector"
LABEL = "spec.resourceAttributes.labelSelector"
GOOD = {"key": "a", "operator": "In", "values": ["b"]}
BAD = {"key": "a", "operator": "Nope"}
TWO = {"key": "a", "operator": "In", "values": ["b", "c"]}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, []),
        ({"labelSelector": {"requirements": [GOOD, TWO]}}, []),
        ({"labelSelector": {"requirements": [BAD]}}, [f"{LABEL} ignored due to parse error"]),
        (
            {"labelSelector": {"requirements": [GOOD, BAD]}},
            [f"{LABEL} partially ignored due to parse error"],
        ),
        ({"fieldSelector": {"requirements": [TWO]}}, [f"{FIELD} ignored due to parse error"]),
        (
            {"fieldSelector": {"rawSelector": "a=b"}, "labelSelector": {"rawSelector": "a in (b)"}},
            [],
        ),
        (
            {"fieldSelector": {"rawSelector": "a"}, "labelSelector": {"rawSelector": "=="}},
            [f"{FIELD} ignored due to parse error", f"{LABEL} ignored due to parse error"],
        ),
    ],
)
def test_what_the_answer_says(attributes: dict[str, Any], expected: list[str]) -> None:
    assert selector_complaints(attributes) == expected
