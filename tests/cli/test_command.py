"""The command line: every option by its flag and by its variable, help, and usage errors."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pytest

from granian_cli import main
from granian_cli.command import PROGRAM, build_command, parse
from granian_cli.config import OptionSpec, option_choices, option_specs

SPECS = {spec.flag: spec for spec in option_specs()}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("GRANIAN_"):
            monkeypatch.delenv(name)


def sample(spec: OptionSpec, directory: Path) -> tuple[str, Any]:
    """Return a text for an option that is not its default, and the value it means."""
    if spec.parameter == "interface_option":
        return "key=value", "key=value"
    if spec.parameter == "static_path_route":
        return "/files", "/files"
    if choices := option_choices(spec):
        choice = next(choice for choice in choices if choice != spec.default)
        return choice.upper(), choice
    if spec.type is bool:
        return ("off", False) if spec.default else ("yes", True)
    if spec.kind == "octal":
        return "0640", 0o640
    if spec.kind == "duration":
        minutes = max(1, -(-int(spec.minimum or 0) // 60)) + 1
        return f"{minutes}m", minutes * 60
    if spec.type is Path:
        path = directory if spec.kind == "directory" else directory / "file"
        path.touch() if path != directory else None
        return str(path), path
    if spec.type is int:
        number = int(spec.minimum or 0) + 1
        return str(number), number
    if spec.type is float:
        return "7.5", 7.5
    return "text", "text"


PAIR = ["--ssl-certificate", __file__, "--ssl-keyfile", __file__]

COMPANIONS = {
    "--ssl-keyfile-password": PAIR,
    "--ssl-ca": PAIR,
    "--ssl-crl": [*PAIR, "--ssl-ca", __file__],
    "--ssl-client-verify": [*PAIR, "--ssl-ca", __file__],
    "--uds-permissions": ["--uds", "s.sock"],
    "--workers-lifetime-jitter": ["--workers-lifetime", "60"],
    "--workers-max-requests-jitter": ["--workers-max-requests", "100"],
}
"""Options that make no sense alone."""
PAIRED = {
    "--ssl-certificate": ("--ssl-keyfile", __file__),
    "--ssl-keyfile": ("--ssl-certificate", __file__),
    "--static-path-route": ("--static-path-mount", str(Path(__file__).parent)),
    "--static-path-mount": ("--static-path-route", "/files"),
}
"""Options that come as often as another."""


def value_of(spec: OptionSpec, arguments: list[str]) -> Any:
    companions = COMPANIONS.get(spec.flag, [])
    if spec.flag in PAIRED:
        separator = os.pathsep if spec.type is Path else " "
        variable = os.environ.get(spec.variable, "").split(separator)
        count = arguments.count(spec.flag) or len([text for text in variable if text])
        companions = [*PAIRED[spec.flag]] * count
    configuration = parse([*arguments, *companions, "x:app"])
    return getattr(getattr(configuration, spec.section), spec.field)


@pytest.mark.parametrize("flag", SPECS)
def test_option_by_flag(flag: str, tmp_path: Path) -> None:
    spec = SPECS[flag]
    text, value = sample(spec, tmp_path)
    if spec.type is bool:
        arguments = [flag if value else f"--no-{flag.removeprefix('--')}"]
    else:
        arguments = [flag, text]
    assert value_of(spec, arguments) == ((value,) if spec.repeatable else value)
    assert value != spec.default


@pytest.mark.parametrize("flag", SPECS)
def test_option_by_variable(flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SPECS[flag]
    text, value = sample(spec, tmp_path)
    monkeypatch.setenv(spec.variable, text)
    assert value_of(spec, []) == ((value,) if spec.repeatable else value)


@pytest.mark.parametrize("flag", SPECS)
def test_empty_variable_counts_as_unset(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SPECS[flag]
    monkeypatch.setenv(spec.variable, "")
    assert value_of(spec, []) == spec.default


@pytest.mark.parametrize("flag", [flag for flag, spec in SPECS.items() if spec.repeatable])
def test_repeated_options(flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SPECS[flag]
    if spec.type is Path:
        first, second = tmp_path / "one", tmp_path / "two"
        for path in (first, second):
            path.mkdir() if spec.kind == "directory" else path.touch()
    elif flag == "--static-path-route":
        first, second = "/one", "/two"  # type: ignore[assignment]
    else:
        first, second = "a=1", "b=2"  # type: ignore[assignment]
    expected = (first, second)
    assert value_of(spec, [flag, str(first), flag, str(second)]) == expected
    separator = os.pathsep if spec.type is Path else " "
    monkeypatch.setenv(spec.variable, f"{first}{separator}{second}")
    assert value_of(spec, []) == expected


@pytest.mark.parametrize("word", ["1", "true", "T", "yes", "y", "ON"])
def test_true_words(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRANIAN_FACTORY", word)
    assert value_of(SPECS["--factory"], []) is True


@pytest.mark.parametrize("word", ["0", "false", "F", "no", "n", "OFF"])
def test_false_words(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRANIAN_LOG_ENABLED", word)
    assert value_of(SPECS["--log"], []) is False


def test_flag_wins_over_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRANIAN_PORT", "1")
    assert value_of(SPECS["--port"], ["--port", "2"]) == 2


def test_target_has_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRANIAN_APP", "x:app")
    with pytest.raises(click.MissingParameter):
        parse([])


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        (spec.flag, str(bound))
        for spec in option_specs()
        if spec.type in (int, float) and spec.kind != "octal"
        for bound in (
            [] if spec.minimum is None else [spec.minimum - 1],
            [] if spec.maximum is None else [int(spec.maximum) + 1],
        )
        for bound in bound
    ],
)
def test_out_of_bounds(flag: str, text: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        parse([f"{flag}={text.removesuffix('.0')}", "x:app"])
    assert flag in caught.value.format_message()


@pytest.mark.parametrize(
    "flag", [s.flag for s in option_specs() if s.kind in ("file", "directory")]
)
def test_missing_files(flag: str, tmp_path: Path) -> None:
    with pytest.raises(click.BadParameter, match="does not exist"):
        parse([flag, str(tmp_path / "absent"), "x:app"])


def help_text(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERMINAL_WIDTH", str(width))
    with pytest.raises(SystemExit) as caught:
        build_command().main(["--help"], prog_name=PROGRAM)
    assert caught.value.code == 0
    return capsys.readouterr().out


def test_help_is_readable_at_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = help_text(80, monkeypatch, capsys)
    assert max(map(len, text.splitlines())) <= 80
    for spec in option_specs():
        assert f"{spec.flag} " in text  # whole, not cut
        assert f"env var: {spec.variable}" in " ".join(text.replace("│", " ").split())
    for title in (
        "Application",
        "Network",
        "Runtime",
        "Processes",
        "HTTP/1",
        "TLS",
        "Limits",
        "Logging",
    ):
        assert f"─ {title} ─" in text


def test_help_shows_default_and_range(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = " ".join(help_text(80, monkeypatch, capsys).replace("│", " ").split())
    assert "[env var: GRANIAN_PORT; default: 8000; 0<=x<=65535]" in text
    assert "[env var: GRANIAN_BACKPRESSURE; default: (backlog/workers); x>=1]" in text
    assert "[env var: GRANIAN_FACTORY; default: (disabled)]" in text
    assert "[env var: GRANIAN_HTTP1_KEEP_ALIVE; default: (enabled)]" in text
    assert "[env var: GRANIAN_INTERFACE; default: (rsgi)]" in text


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", [PROGRAM, *arguments])
    with pytest.raises(SystemExit) as caught:
        main.entrypoint()
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"], monkeypatch) == 0
    assert capsys.readouterr().out == f"granian {version('granian-cli')}\n"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_script(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For bash, click runs bash to learn its version: the test of the whole command has it."""
    monkeypatch.setenv("_GRANIAN_COMPLETE", f"{shell}_source")
    assert run([], monkeypatch) == 0
    assert f"_GRANIAN_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_completions(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("_GRANIAN_COMPLETE", "zsh_complete")
    monkeypatch.setenv("COMP_WORDS", "granian --workers")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert run([], monkeypatch) == 0
    words = capsys.readouterr().out.split("\n")
    assert {f.flag for f in option_specs() if f.flag.startswith("--workers")} <= set(words)
    monkeypatch.setenv("COMP_WORDS", "granian --interface as")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert run([], monkeypatch) == 0
    assert {"asgi", "asginl"} <= set(capsys.readouterr().out.split("\n"))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--loop", "foo", "x"], "Invalid value for '--loop'"),
        (["--interface", "foo", "x"], "Invalid value for '--interface'"),
        (["--http", "3", "x"], "Invalid value for '--http'"),
        (["--port", "65536", "x"], "Invalid value for '--port'"),
        (["--nonsense", "x"], "No such option"),
        ([], "Missing argument 'APP'"),
    ],
)
def test_usage_errors_are_one_line(
    arguments: list[str],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(arguments, monkeypatch) == 2
    err = capsys.readouterr().err
    assert err.startswith("Error: ")
    assert text in err
    assert err.count("\n") == 1


def test_configuration_errors_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--uds-permissions", "0600", "x"], monkeypatch) == 1
    err = capsys.readouterr().err
    assert err == "Error: --uds-permissions=0600: use it together with --uds\n"


def test_the_other_distribution_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Other:
        version = "2.8.7"

    monkeypatch.setattr(main, "distribution", lambda name: Other())
    main.warn_about_other_distribution()
    err = capsys.readouterr().err
    assert "granian 2.8.7" in err
    assert "granian-cli" in err
    assert err.count("\n") == 1


def test_no_warning_without_it(capsys: pytest.CaptureFixture[str]) -> None:
    main.warn_about_other_distribution()
    assert capsys.readouterr().err == ""
