"""The mapping of request fields, and response fields as bytes."""

from __future__ import annotations

import pytest

from granian_rsgi import Headers
from granian_rsgi import headers as headers_module
from granian_rsgi.headers import encode_headers


@pytest.fixture
def headers() -> Headers:
    return Headers(
        [
            (b"host", b"example.org"),
            (b"x-a", b"1"),
            (b"b", b"2"),
            (b"x-a", b"3"),
            (b"x-odd", b"caf\xe9"),
            (b"x-tab", b"a\tb"),
            (b"x-empty", b""),
        ]
    )


def test_keys_are_distinct_names_in_order_of_first_occurrence(headers: Headers) -> None:
    names = ["host", "x-a", "b", "x-odd", "x-tab", "x-empty"]

    assert headers.keys() == names
    assert list(headers) == names
    assert len(headers) == len(names)


def test_items_and_values_keep_repeats_together_and_omit_odd_bytes(headers: Headers) -> None:
    items = [
        ("host", "example.org"),
        ("x-a", "1"),
        ("x-a", "3"),
        ("b", "2"),
        ("x-tab", "a\tb"),
        ("x-empty", ""),
    ]

    assert headers.items() == items
    assert headers.values() == [value for _, value in items]


def test_items_without_repeats_are_in_order_of_arrival() -> None:
    headers = Headers([(b"b", b"1"), (b"a", b"2")])

    assert headers.items() == [("b", "1"), ("a", "2")]


@pytest.mark.parametrize("key", ["x-a", "X-A", "X-a"])
def test_lookup_finds_the_first_value_in_any_case(headers: Headers, key: str) -> None:
    assert headers.get(key) == "1"
    assert headers[key] == "1"
    assert key in headers
    assert headers.get_all(key) == ["1", "3"]


def test_lookup_of_a_missing_name(headers: Headers) -> None:
    assert headers.get("missing") is None
    assert headers.get("missing", "default") == "default"
    assert headers.get_all("missing") == []
    assert "missing" not in headers
    with pytest.raises(KeyError, match="missing"):
        headers["missing"]


def test_lookup_of_a_value_without_text(headers: Headers) -> None:
    assert headers.get("x-odd") is None
    assert headers.get("x-odd", "default") == "default"
    assert headers["x-odd"] == ""
    assert headers.get_all("x-odd") == []
    assert "x-odd" in headers


@pytest.mark.parametrize("value", [b"a\x7fb", b"a\x01b", b"\x80", b"\xc3\xa9"])
def test_values_beyond_visible_ascii_have_no_text(value: bytes) -> None:
    assert Headers([(b"a", value)]).items() == []


def test_lookup_never_matches_through_case_folding_of_other_letters() -> None:
    """The Kelvin sign lower-cases to an ASCII k, but it is not one."""
    headers = Headers([(b"k", b"1")])

    assert "\N{KELVIN SIGN}" not in headers
    assert headers.get("é") is None
    assert headers.get("\ud800") is None


@pytest.mark.parametrize("key", [1, None, b"host", ("host",)])
def test_keys_of_another_type_are_type_errors(headers: Headers, key: object) -> None:
    for look_up in (
        lambda: headers.get(key),
        lambda: headers[key],
        lambda: key in headers,
        lambda: headers.get_all(key),
    ):
        with pytest.raises(TypeError, match="doesn't apply to"):
            look_up()


def test_headers_are_equal_by_identity_and_read_only(headers: Headers) -> None:
    assert headers == headers  # noqa: PLR0124 - the point
    assert Headers([(b"a", b"1")]) != Headers([(b"a", b"1")])
    with pytest.raises(TypeError, match="item assignment"):
        headers["a"] = "b"  # type: ignore[index]
    with pytest.raises(TypeError, match="item deletion"):
        del headers["a"]  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        headers.other = 1  # type: ignore[attr-defined]


def test_no_fields_at_all() -> None:
    headers = Headers([])

    assert len(headers) == 0
    assert headers.get("a") is None
    assert headers.items() == []


@pytest.mark.parametrize("sequence", [list, tuple])
def test_encode_lowers_names_and_writes_values_as_utf8(sequence: type) -> None:
    headers = sequence([("X-Name", "é"), ("x-name", "b"), ("a", "")])

    assert encode_headers(headers) == [(b"x-name", "é".encode()), (b"x-name", b"b"), (b"a", b"")]


def test_encode_takes_subclasses_of_tuple_and_str() -> None:
    class Text(str):
        __slots__ = ()

    class Pair(tuple):  # type: ignore[type-arg]
        __slots__ = ()

    assert encode_headers([Pair((Text("A"), Text("b")))]) == [(b"a", b"b")]


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"ab": "c"}, "must be a sequence"),
        (None, "must be a sequence"),
        (iter([("a", "b")]), "must be a sequence"),
        (b"ab", "not int"),
        ("ab", "not str"),
        ([["a", "b"]], "not list"),
        (["ab"], "not str"),
        ([("a",)], "1 items"),
        ([("a", "b", "c")], "3 items"),
        ([(b"a", "b")], "must be str, not bytes"),
        ([("a", b"b")], "must be str, not bytes"),
        ([("a", 1)], "must be str, not int"),
        ([("a", None)], "must be str, not NoneType"),
        ([(1, "b")], "must be str, not int"),
    ],
)
def test_encode_refuses_what_is_no_sequence_of_text_pairs(headers: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        encode_headers(headers)  # type: ignore[arg-type]


def test_encode_refuses_text_that_utf8_can_not_hold() -> None:
    with pytest.raises(ValueError, match="UTF-8"):
        encode_headers([("a", "\ud800")])


def test_names_made_up_per_request_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, bytes] = {}
    monkeypatch.setattr(headers_module, "_ENCODED_NAMES", names)
    monkeypatch.setattr(headers_module, "_ENCODED_NAMES_MAX", 3)

    encoded = encode_headers([(f"X-{index}", "v") for index in range(10)])

    assert encoded == [(b"x-%d" % index, b"v") for index in range(10)]
    assert len(names) == 3
