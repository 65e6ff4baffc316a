"""A clone says the same and shares nothing."""

from hypothesis import given
from hypothesis import strategies as st

from kapi.api.object import clone

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values)
def test_equal(value: object) -> None:
    copied = clone(value)
    assert copied == value
    assert repr(copied) == repr(value)


def test_nothing_is_shared() -> None:
    inner: dict[str, object] = {"list": [1, {"deep": 2**70}]}
    copied = clone({"a": inner, "b": inner})
    copied["a"]["list"].append(2)
    assert inner == {"list": [1, {"deep": 2**70}]}
    assert copied["b"] == inner
