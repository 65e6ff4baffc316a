"""CEL in built-in kinds: which expressions are refused, and with what words."""

import pytest

from kapi.registry.expressions import device_selector_errors, expression_errors

VARIABLES = ("object", "oldObject", "request", "authorizer")


def complaint(expression: str, *wanted: str) -> str:
    errors = expression_errors(expression, VARIABLES, wanted, "e")
    return errors[0].message if errors else ""


@pytest.mark.parametrize(
    "expression",
    [
        "object.spec.replicas <= 5 && request.operation == 'CREATE'",
        "authorizer.group('').resource('pods').check('get').allowed()",
        "quantity(object.spec.size).isGreaterThan(quantity('1Gi'))",
        "has(object.metadata.labels) && object.metadata.labels.all(k, k != 'x')",
    ],
)
def test_good_conditions(expression: str) -> None:
    assert complaint(expression, "bool") == ""


@pytest.mark.parametrize(
    ("expression", "wanted", "text"),
    [
        ("1", ("bool",), "must evaluate to bool but got int"),
        ("1", ("string", "null_type"), "must evaluate to one of [string null_type] but got int"),
        ("'a'", ("Object",), "must evaluate to Object but got string"),
        (
            "foo.bar == 1",
            ("bool",),
            "compilation failed: ERROR: <input>:1:1: undeclared reference to 'foo' "
            "(in container '')\n | foo.bar == 1\n | ^",
        ),
        (
            "Object{spec: foo}",
            ("Object",),
            "compilation failed: ERROR: <input>:1:14: undeclared reference to 'foo' "
            "(in container '')\n | Object{spec: foo}\n | .............^",
        ),
    ],
)
def test_bad_expressions(expression: str, wanted: tuple[str, ...], text: str) -> None:
    assert complaint(expression, *wanted).endswith(text)


def test_patches_are_taken_on_trust() -> None:
    assert complaint("Object{metadata: Object.metadata{labels: {'a': 'b'}}}", "Object") == ""
    assert complaint("[JSONPatch{op: 'add', path: '/a'}]", "list(JSONPatch)") == ""


def test_selectors_know_what_a_device_has() -> None:
    good = "device.driver == 'x' && device.attributes['x'].model == 'y'"
    assert device_selector_errors(good, "e") == []
    (wrong,) = device_selector_errors("device.driver", "e")
    assert wrong.message.endswith("must evaluate to bool or the unknown type, not string")
    (unknown,) = device_selector_errors("device.nope == 1", "e")
    assert "undefined field 'nope'" in unknown.message
