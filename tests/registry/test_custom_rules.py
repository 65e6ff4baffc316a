"""Rules in CEL: when they run, what they say, and what a definition may not ask for."""

from typing import Any

import pytest

from kapi.registry.apiextensions.rule_validation import validate_rules
from kapi.registry.custom.rules import Rules


def schema(*rules: dict[str, Any], **properties: Any) -> dict[str, Any]:
    spec = {"type": "object", "properties": properties, "x-kubernetes-validations": list(rules)}
    return {"type": "object", "properties": {"spec": spec}}


def broken(given: dict[str, Any], value: Any, *old: Any) -> list[str]:
    before = [{"spec": item} for item in old]
    return [str(error) for error in Rules(given).validate({"spec": value}, *before)]


INTEGER = {"type": "integer"}


def test_a_broken_rule_says_its_message_or_itself() -> None:
    given = schema({"rule": "self.a < 3"}, {"rule": "self.a < 2", "message": "too much"}, a=INTEGER)
    assert broken(given, {"a": 1}) == []
    assert broken(given, {"a": 3}) == [
        "spec: Invalid value: failed rule: self.a < 3",
        "spec: Invalid value: too much",
    ]


def test_a_message_may_be_computed_and_point_at_a_field() -> None:
    rule = {
        "rule": "self.a < 3",
        "messageExpression": "'a is ' + string(self.a)",
        "fieldPath": ".a",
        "reason": "FieldValueForbidden",
    }
    assert broken(schema(rule, a=INTEGER), {"a": 4}) == ["spec.a: Forbidden: a is 4"]


def test_a_rule_about_a_change_needs_something_to_change() -> None:
    given = schema({"rule": "self.a >= oldSelf.a", "message": "grow"}, a=INTEGER)
    assert broken(given, {"a": 1}) == []
    assert broken(given, {"a": 1}, {"a": 1}) == []
    assert broken(given, {"a": 1}, {"a": 2}) == ["spec: Invalid value: grow"]


def test_an_optional_old_value_lets_the_rule_run_at_once() -> None:
    rule = {"rule": "oldSelf.hasValue() || self.a == 0", "optionalOldSelf": True}
    given = schema(rule, a=INTEGER)
    assert len(broken(given, {"a": 5})) == 1
    assert broken(given, {"a": 0}) == []
    assert broken(given, {"a": 5}, {"a": 0}) == []


def test_what_did_not_change_is_not_held_against_a_new_rule() -> None:
    given = schema({"rule": "self.a < 3"}, a=INTEGER)
    assert broken(given, {"a": 9}, {"a": 9}) == []
    assert len(broken(given, {"a": 8}, {"a": 9})) == 1


def test_a_missing_field_is_an_error_and_not_a_pass() -> None:
    given = schema({"rule": "self.a < 3"}, a=INTEGER)
    assert broken(given, {}) == ["spec: Invalid value: no such key: a evaluating rule: self.a < 3"]


def test_rules_hold_for_items_and_map_values() -> None:
    item = {
        "type": "object",
        "properties": {"k": {"type": "string"}, "n": INTEGER},
        "x-kubernetes-validations": [{"rule": "self.n >= oldSelf.n", "message": "shrank"}],
    }
    listed = {
        "type": "array",
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
    }
    given = {"type": "object", "properties": {"spec": listed}}
    old = [{"k": "a", "n": 5}, {"k": "b", "n": 1}]
    assert broken(given, [{"k": "b", "n": 1}, {"k": "a", "n": 4}], old) == [
        "spec[1]: Invalid value: shrank"
    ]


@pytest.mark.parametrize(
    "rule",
    [
        "self.when > timestamp('2020-01-01T00:00:00Z')",
        "self.pause == duration('90s')",
        "self.raw == b'abc'",
        "self.ratio / 2.0 == 1.0",
        "self.dash__dash__ed == 'x' && self.__namespace__ == 'n'",
        "self.tags.sum() == 3 && self.tags.isSorted() && [2, 7].max() == 7",
        "'v12'.find('[0-9]+') == '12' && 'a1b2'.findAll('[0-9]') == ['1', '2']",
        "sets.intersects(self.tags, [2]) && isQuantity('5Gi') && !isIP('x')",
        "self.?absent.orValue('none') == 'none'",
        "cel.bind(n, self.tags.size(), n * 2 == 4)",
        "'%s-%d'.format(['a', 1]) == 'a-1' && 'A'.lowerAscii() == 'a'",
        "self.either == 5 || self.either == '5'",
        "self.ratio > 1 && self.ratio <= 2.0",
        "self.perhaps == null || self.perhaps == 'x'",
        "quantity('1Gi').isGreaterThan(quantity('1000Mi')) && quantity('1.5').sign() == 1",
        "quantity('50k').add(20).sub(quantity('20')).compareTo(quantity('50000')) == 0",
        "!isQuantity('5Gig') && quantity('2k').asInteger() == 2000",
        "url('https://u@a.b:80/p/q?x=1&x=2').getHost() == 'a.b:80' && !isURL('../x')",
        "url('https://[::1]:80/p').getHostname() == '::1' && url('http://a:1/').getPort() == '1'",
        "url('https://a.b/p?x=1&x=2').getQuery() == {'x': ['1', '2']}",
        "ip('10.1.2.3').family() == 4 && ip('::1').isLoopback() && !isIP('10.1')",
        "ip('8.8.8.8').isGlobalUnicast() && ip.isCanonical('::1') && !ip.isCanonical('0::1')",
        "cidr('10.0.0.0/8').containsIP('10.9.8.7')",
        "!cidr('10.0.0.0/8').containsCIDR(cidr('0.0.0.0/0'))",
        "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')",
        "cidr('10.1.2.3/8').ip() == ip('10.1.2.3') && cidr('10.0.0.0/8').prefixLength() == 8",
        "self.tags.all(i, v, i < v) && self.tags.transformList(i, v, i + v) == [1, 3]",
    ],
)
def test_rules_know_the_types_and_functions(rule: str) -> None:
    given = schema(
        {"rule": rule},
        when={"type": "string", "format": "date-time"},
        pause={"type": "string", "format": "duration"},
        raw={"type": "string", "format": "byte"},
        ratio={"type": "number"},
        namespace={"type": "string"},
        tags={"type": "array", "items": INTEGER},
        absent={"type": "string"},
        either={"x-kubernetes-int-or-string": True},
        perhaps={"type": "string", "nullable": True},
        **{"dash-ed": {"type": "string"}},
    )
    assert [str(error) for error in validate_rules(given, "s")] == []
    value = {
        "when": "2024-01-01T00:00:00Z", "pause": "1m30s", "raw": "YWJj", "ratio": 2,
        "dash-ed": "x", "namespace": "n", "tags": [1, 2], "either": 5,
        "perhaps": None,
    }  # fmt: skip
    assert broken(given, value) == []


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({"rule": "self.b > 1"}, "undefined field 'b'"),
        ({"rule": "self.a > 'x'"}, "found no matching overload for '_>_'"),
        ({"rule": "self.a +"}, "Syntax error"),
        ({"rule": "self.a"}, "cel expression must evaluate to a bool"),
        ({"rule": "self.a > 1", "messageExpression": "self.a"}, "must evaluate to a string"),
        ({"rule": "self.a > 1", "fieldPath": ".zzz"}, "does not refer to a valid field"),
        ({"rule": "self.a > 1", "reason": "Mood"}, 'Unsupported value: "Mood"'),
        ({"rule": " "}, "rule is not specified"),
        ({"rule": "format.dns1123Label().validate('a').hasValue()"}, "undeclared reference"),
    ],
)
def test_a_definition_with_a_bad_rule_is_told_why(rule: dict[str, Any], complaint: str) -> None:
    found = validate_rules(schema(rule, a=INTEGER), "s")
    assert len(found) == 1 and complaint in str(found[0]), found
    assert found[0].field.startswith("s.properties[spec].x-kubernetes-validations[0]")


def test_items_of_lists_and_maps_have_types_too() -> None:
    inner = {"type": "object", "properties": {"z": INTEGER}}
    given = schema(
        {"rule": "self.l.all(x, x.q > 1)"},
        {"rule": "self.m['k'].z > 1"},
        {"rule": "self.n[0][0] > 1"},
        l={"type": "array", "items": inner},
        m={"type": "object", "additionalProperties": inner},
        n={"type": "array", "items": {"type": "array", "items": INTEGER}},
    )
    (found,) = validate_rules(given, "s")
    assert "undefined field 'q'" in found.message


def test_names_and_kinds_are_known_of_the_object_and_of_embedded_ones() -> None:
    embedded = {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "x-kubernetes-preserve-unknown-fields": True,
        "x-kubernetes-validations": [{"rule": "self.kind == 'Pod' && self.metadata.name != ''"}],
    }
    given = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"template": embedded}}},
        "x-kubernetes-validations": [
            {"rule": "self.metadata.name.startsWith('x')"},
            {"rule": "self.spec.template.metadata.name == self.metadata.name"},
        ],
    }
    assert validate_rules(given, "s") == []
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "xy"}}
    value = {"kind": "W", "metadata": {"name": "xy"}, "spec": {"template": pod}}
    assert Rules(given).validate(value) == []
    assert len(Rules(given).validate({**value, "metadata": {"name": "ab"}})) == 2
    given["x-kubernetes-validations"] = [{"rule": "self.metadata.labels.size() > 0"}]
    (found,) = validate_rules(given, "s")
    assert "undefined field 'labels'" in found.message
