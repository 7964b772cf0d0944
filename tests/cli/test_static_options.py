"""The settings of static files: what is paired, what is refused, and their names in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from granian import Granian
from granian_cli.command import parse
from granian_core.errors import ConfigurationError
from granian_core.settings import StaticSettings


def test_routes_and_mounts_are_paired_in_order(tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    first.mkdir()
    second.mkdir()
    arguments = [
        *("--static-path-route", "/a", "--static-path-mount", str(second)),
        *("--static-path-route", "/b", "--static-path-mount", str(first)),
        *("--static-path-expires", "1h"),
    ]

    static = parse([*arguments, "x:app"]).server_config(None).static

    assert static.pairs == [("/a", second), ("/b", first)]
    assert static.expires == 3600


def test_one_mount_has_a_route_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path.parent)

    assert StaticSettings(mount=(Path(tmp_path.name),)).pairs == [("/static", tmp_path)]


@pytest.mark.parametrize(
    ("keywords", "pairs"),
    [
        ({"static_path_mount": "one"}, [("/static", "one")]),
        ({"static_path_mount": ["one"], "static_path_route": None}, [("/static", "one")]),
        ({"static_path_mount": "one", "static_path_route": "/a"}, [("/a", "one")]),
        (
            {"static_path_mount": ["one", Path("two")], "static_path_route": ["/a", "/b"]},
            [("/a", "one"), ("/b", "two")],
        ),
        ({"static_path_mount": None, "static_path_dir_to_file": None}, []),
    ],
)
def test_keywords(
    keywords: dict[str, Any],
    pairs: list[tuple[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()

    static = Granian("x:app", **keywords).configuration.static

    assert static.pairs == [(route, tmp_path / name) for route, name in pairs]


@pytest.mark.parametrize(
    ("settings", "option", "remedy"),
    [
        ({"mount": ("none",)}, "--static-path-mount", "no such directory"),
        ({"mount": ("file",)}, "--static-path-mount", "no such directory"),
        ({"mount": (".", ".")}, "--static-path-mount", "--static-path-route"),
        ({"mount": (".",), "route": ("/a", "/b")}, "--static-path-route", "one for each"),
        ({"route": ("/a",)}, "--static-path-route", "one for each"),
        ({"mount": (".",), "route": ("a",)}, "--static-path-route", "begin it with one slash"),
        ({"mount": (".",), "route": ("//a",)}, "--static-path-route", "begin it with one slash"),
        ({"mount": (".",), "dir_to_file": "a/b"}, "--static-path-dir-to-file", "name of a file"),
        ({"mount": (".",), "dir_to_file": ".."}, "--static-path-dir-to-file", "name of a file"),
        ({"mount": (".",), "expires": -1}, "--static-path-expires", "0 seconds or more"),
    ],
)
def test_settings_that_make_no_sense(
    settings: dict[str, Any],
    option: str,
    remedy: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()

    with pytest.raises(ConfigurationError) as caught:
        StaticSettings(**settings)

    assert option in str(caught.value)
    assert remedy in str(caught.value)
