"""Which texts may be names: labels, subdomains, qualified names, keys, ports.

Every function returns complaints in upstream's words; an empty list means the text is good.
Source of rules and texts: k8s.io/apimachinery `pkg/util/validation` and
`pkg/api/validation/name_functions.go`.
"""

import ipaddress
import re
from collections.abc import Callable

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_QUALIFIED})?"
_WILDCARD = rf"\*\.{_SUBDOMAIN}"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_C_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"
_HEADER = "[-A-Za-z0-9]+"

_label = re.compile(_LABEL).fullmatch
_dns1035 = re.compile(_DNS1035).fullmatch
_subdomain = re.compile(_SUBDOMAIN).fullmatch
_qualified = re.compile(_QUALIFIED).fullmatch
_label_value = re.compile(_LABEL_VALUE).fullmatch
_wildcard = re.compile(_WILDCARD).fullmatch
_config_key = re.compile(_CONFIG_KEY).fullmatch
_relaxed_env_name = re.compile("[ -<>-~]+").fullmatch
_c_identifier = re.compile(_C_IDENTIFIER).fullmatch
_header = re.compile(_HEADER).fullmatch

_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-',"
    " and must start and end with an alphanumeric character"
)
_DNS1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an"
    " alphabetic character, and end with an alphanumeric character"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or"
    " '.', and must start and end with an alphanumeric character"
)
_QUALIFIED_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an"
    " alphanumeric character"
)
_WILDCARD_TEXT = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which"
    " must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric"
    " character"
)
_C_IDENTIFIER_TEXT = (
    "a valid C identifier must start with alphabetic character or '_', followed by a string of"
    " alphanumeric characters or '_'"
)

NameErrors = Callable[[str, bool], list[str]]
"""A kind's rule for its names: (name, is it a generateName prefix?) -> complaints."""


def max_length_error(length: int) -> str:
    return f"must be no more than {length} characters"


def _max_bytes_error(length: int) -> str:
    return f"must be no more than {length} bytes"


def inclusive_range_error(low: int, high: int) -> str:
    return f"must be between {low} and {high}, inclusive"


def regex_error(text: str, pattern: str, *examples: str) -> str:
    """Upstream's sentence for a text that does not match (its odd commas included)."""
    if not examples:
        return f"{text} (regex used for validation is '{pattern}')"
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {shown}regex used for validation is '{pattern}')"


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _without_trailing_dash(name: str) -> str:
    """A generateName may end in a dash, since more characters follow."""
    if len(name) > 1 and name.endswith("-"):
        return f"{name[:-2]}a"
    return name


def dns_label_errors(name: str, *, prefix: bool = False) -> list[str]:
    """RFC 1123 label, at most 63 characters."""
    if prefix:
        name = _without_trailing_dash(name)
    errors = [max_length_error(63)] if _size(name) > 63 else []
    if not _label(name):
        if _subdomain(name):
            errors.append("must not contain dots")
        else:
            errors.append(regex_error(_LABEL_TEXT, _LABEL, "my-name", "123-abc"))
    return errors


def dns1035_label_errors(name: str, *, prefix: bool = False) -> list[str]:
    """RFC 1035 label: as an RFC 1123 label, and starts with a letter."""
    if prefix:
        name = _without_trailing_dash(name)
    errors = [max_length_error(63)] if _size(name) > 63 else []
    if not _dns1035(name):
        errors.append(regex_error(_DNS1035_TEXT, _DNS1035, "my-name", "abc-123"))
    return errors


def dns_subdomain_errors(name: str, *, prefix: bool = False) -> list[str]:
    """RFC 1123 labels joined by dots, at most 253 characters."""
    if prefix:
        name = _without_trailing_dash(name)
    errors = [max_length_error(253)] if _size(name) > 253 else []
    if not _subdomain(name):
        errors.append(regex_error(_SUBDOMAIN_TEXT, _SUBDOMAIN, "example.com"))
    return errors


def wildcard_subdomain_errors(name: str) -> list[str]:
    """`*.` before a DNS subdomain, as Ingress hosts may have."""
    errors = [max_length_error(253)] if _size(name) > 253 else []
    if not _wildcard(name):
        errors.append(regex_error(_WILDCARD_TEXT, _WILDCARD, "*.example.com"))
    return errors


def path_segment_errors(name: str, *, prefix: bool = False) -> list[str]:
    """Anything that is one segment of a URL path; the names of RBAC objects."""
    if not prefix and name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{char}'" for char in ("/", "%") if char in name]


def qualified_name_errors(text: str) -> list[str]:
    """`name` or `example.com/name`: label keys, annotation keys, finalizers, resources."""
    parts = text.split("/")
    errors: list[str] = []
    explained = regex_error(_QUALIFIED_TEXT, _QUALIFIED, "MyName", "my.name", "123-abc")
    if len(parts) > 2:
        return [
            f"a valid label key {explained} with an optional DNS subdomain prefix and '/'"
            " (e.g. 'example.com/MyName')"
        ]
    if len(parts) == 2:
        if not parts[0]:
            errors.append("prefix part must be non-empty")
        else:
            errors += [f"prefix part {text}" for text in dns_subdomain_errors(parts[0])]
    name = parts[-1]
    if not name:
        errors.append("name part must be non-empty")
    elif _size(name) > 63:
        errors.append(f"name part {_max_bytes_error(63)}")
    if not _qualified(name):
        errors.append(f"name part {explained}")
    return errors


def label_value_errors(text: str) -> list[str]:
    errors = [_max_bytes_error(63)] if _size(text) > 63 else []
    if not _label_value(text):
        errors.append(
            regex_error(
                "a valid label must be an empty string or consist of alphanumeric characters,"
                " '-', '_' or '.', and must start and end with an alphanumeric character",
                _LABEL_VALUE,
                "MyValue",
                "my_value",
                "12345",
            )
        )
    return errors


def port_name_errors(text: str) -> list[str]:
    """IANA service name, at most 15 characters."""
    errors = [max_length_error(15)] if _size(text) > 15 else []
    if not re.fullmatch("[-a-z0-9]+", text):
        errors.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", text):
        errors.append("must contain at least one letter (a-z)")
    if "--" in text:
        errors.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        errors.append("must not begin or end with a hyphen")
    return errors


def config_map_key_errors(text: str) -> list[str]:
    """Keys of ConfigMap and Secret data: they become file names."""
    errors = [max_length_error(253)] if _size(text) > 253 else []
    if not _config_key(text):
        errors.append(
            regex_error(
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
                _CONFIG_KEY,
                "key.name",
                "KEY_NAME",
                "key-name",
            )
        )
    if text in (".", ".."):
        errors.append(f"must not be '{text}'")
    elif text.startswith(".."):
        errors.append("must not start with '..'")
    return errors


def relaxed_env_var_name_errors(text: str) -> list[str]:
    """Any printable ASCII but `=`: the rule for container env since 1.34."""
    if not text:
        return ["environment variable name must be non-empty"]
    if not _relaxed_env_name(text):
        return [
            "a valid environment variable name must consist only of printable ASCII characters"
            " other than '='"
        ]
    return []


def c_identifier_errors(text: str) -> list[str]:
    if _c_identifier(text):
        return []
    return [regex_error(_C_IDENTIFIER_TEXT, _C_IDENTIFIER, "my_name", "MY_NAME", "MyName")]


def http_header_name_errors(text: str) -> list[str]:
    if _header(text):
        return []
    sentence = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [regex_error(sentence, _HEADER, "X-Header-Name")]


def ip_errors(text: str) -> list[str]:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return []


def domain_prefixed_path_errors(text: str) -> list[str]:
    """`example.com/path`: both halves are needed."""
    domain, slash, path = text.partition("/")
    if not text:
        return ["must be non-empty"]
    if not slash or not domain or not path:
        return ['must be a domain-prefixed path (such as "acme.io/foo")']
    errors = [f"domain part {error}" for error in dns_subdomain_errors(domain)]
    if not re.fullmatch(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", path):
        errors.append(
            regex_error("Invalid path", r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", "domain.com/path")
        )
    return errors
