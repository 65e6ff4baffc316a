"""Names: which texts are good, and upstream's words about the others."""

import pytest

from kapi.api import names

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must"
    " start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for"
    " validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
QUALIFIED = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an"
    " alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for"
    " validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


@pytest.mark.parametrize(
    ("name", "complaints"),
    [
        ("web-0", []),
        ("1a", []),
        ("a.b", ["must not contain dots"]),
        ("m-A", [LABEL]),
        ("", [LABEL]),
        ("a\n", [LABEL]),
        ("a" * 64, ["must be no more than 63 characters"]),
    ],
)
def test_labels(name: str, complaints: list[str]) -> None:
    assert names.dns_label_errors(name) == complaints


@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        ("app", []),
        ("example.com/a_b.C", []),
        ("a b", [f"name part {QUALIFIED}"]),
        ("", ["name part must be non-empty", f"name part {QUALIFIED}"]),
        ("/x", ["prefix part must be non-empty"]),
        ("k" * 64, ["name part must be no more than 63 bytes"]),
        (
            "a/b/c",
            [
                f"a valid label key {QUALIFIED} with an optional DNS subdomain prefix and '/'"
                " (e.g. 'example.com/MyName')"
            ],
        ),
    ],
)
def test_qualified_names(text: str, complaints: list[str]) -> None:
    assert names.qualified_name_errors(text) == complaints


def test_prefixes_may_end_in_a_dash() -> None:
    assert names.dns_subdomain_errors("web-", prefix=True) == []
    assert names.dns_subdomain_errors("web-") != []
    assert names.dns_label_errors("Web-", prefix=True) == [LABEL]


def test_services_start_with_a_letter() -> None:
    assert names.dns1035_label_errors("a1") == []
    assert names.dns1035_label_errors("1a") == [
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an"
        " alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or"
        " 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
    ]


@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        ("http", []),
        ("a" * 16, ["must be no more than 15 characters"]),
        ("80", ["must contain at least one letter (a-z)"]),
        ("a--b", ["must not contain consecutive hyphens"]),
        ("-a", ["must not begin or end with a hyphen"]),
        (
            "A",
            [
                "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
                "must contain at least one letter (a-z)",
            ],
        ),
    ],
)
def test_port_names(text: str, complaints: list[str]) -> None:
    assert names.port_name_errors(text) == complaints


@pytest.mark.parametrize(
    ("text", "good"),
    [("key.name", True), ("a/b", False), ("..", False), ("..a", False), ("", False)],
)
def test_config_map_keys(text: str, good: bool) -> None:
    assert (names.config_map_key_errors(text) == []) is good


def test_path_segments() -> None:
    assert names.path_segment_errors("system:A_b c") == []
    assert names.path_segment_errors("a/b") == ["may not contain '/'"]
    assert names.path_segment_errors("a%b") == ["may not contain '%'"]
    assert names.path_segment_errors(".") == ["may not be '.'"]


def test_label_values() -> None:
    assert names.label_value_errors("") == []
    assert names.label_value_errors("V.v_v-v") == []
    assert names.label_value_errors("v" * 64) == ["must be no more than 63 bytes"]
    assert len(names.label_value_errors("-v")) == 1
