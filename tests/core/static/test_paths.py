"""Which names a path may mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from granian_core.static.paths import Names, has_encoded_slash, match_route, split_names


@pytest.mark.parametrize(
    ("route", "path", "rest"),
    [
        ("/static", "/static", ""),
        ("/static", "/static/", "/"),
        ("/static", "/static/a.css", "/a.css"),
        ("/static", "/staticx", None),
        ("/static", "/stati", None),
        ("/static", "/Static/a", None),
        ("/static", "/", None),
        ("/a/b", "/a/b/c", "/c"),
        ("", "/a", "/a"),
        ("", "*", None),
    ],
)
def test_a_route_ends_with_a_segment(route: str, path: str, rest: str | None) -> None:
    assert match_route(route, path) == rest


@pytest.mark.parametrize(
    ("rest", "names"),
    [
        ("", Names((), True)),
        ("/", Names((), True)),
        ("/a", Names(("a",), False)),
        ("/a/", Names(("a",), True)),
        ("/a/b.c", Names(("a", "b.c"), False)),
        ("/%2e%2e", Names(("%2e%2e",), False)),
        ("/a..b", Names(("a..b",), False)),
        ("/a b/ü/日本", Names(("a b", "ü", "日本"), False)),
        ("/.well-known/security.txt", Names((".well-known", "security.txt"), False)),
        ("/C:", Names(("C:",), False)),
        ("/trailing.", Names(("trailing.",), False)),
    ],
)
def test_names_that_may_be_looked_up(rest: str, names: Names) -> None:
    assert split_names(rest, windows=False) == names


@pytest.mark.parametrize(
    "rest",
    [
        "/..",
        "/../",
        "/a/..",
        "/a/../b",
        "/.",
        "/./a",
        "//etc/passwd",
        "/a//b",
        "/a//",
        "/..\\..",
        "/a\\b",
        "/a\0b",
        "/a\ufffd",
        "/.git/config",
        "/a/.hidden",
        "/a/.well-known/b",
        "/.well-known/.secret",
        "/...",
    ],
)
def test_names_that_are_refused(rest: str) -> None:
    assert split_names(rest, windows=False) is None


@pytest.mark.parametrize("rest", ["/.git/config", "/a/.hidden", "/..."])
def test_dotfiles_may_be_allowed(rest: str) -> None:
    assert split_names(rest, dotfiles=True, windows=False) is not None


@pytest.mark.parametrize("rest", ["/..", "/a/../b", "/.", "/./a"])
def test_dots_are_refused_even_where_dotfiles_are_allowed(rest: str) -> None:
    assert split_names(rest, dotfiles=True, windows=False) is None


@pytest.mark.parametrize(
    "rest",
    ["/C:", "/C:/x", "/a.", "/a ", "/a:stream", "/nul", "/CON", "/com1.txt", "/LPT9", "/aux "],
)
def test_windows_names_that_mean_something_else_are_refused(rest: str) -> None:
    assert split_names(rest, windows=True) is None
    assert split_names("/console.txt", windows=True) == Names(("console.txt",), False)


@pytest.mark.parametrize(
    ("raw", "hidden"),
    [(b"/a%2fb", True), (b"/a%2Fb", True), (b"/a%252fb", False), (b"/a/b", False)],
)
def test_a_slash_can_not_hide_in_a_name(raw: bytes, hidden: bool) -> None:
    assert has_encoded_slash(raw) is hidden


@given(st.text(alphabet=st.sampled_from("/.\\%:ab\0 \ufffd"), max_size=30))
def test_no_name_steps_up_or_is_absolute(text: str) -> None:
    names = split_names("/" + text)

    for part in names.parts if names is not None else ():
        assert part not in ("", ".", "..")
        assert not set(part) & set("/\\\0")
        assert part[0] != "." or part == ".well-known"
