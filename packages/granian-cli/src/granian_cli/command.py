"""The ``granian`` command line: click parameters made from the declared settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from granian_cli import __version__
from granian_cli.config import Configuration, OptionSpec, option_choices, option_specs
from granian_cli.supervisor import Supervisor
from granian_cli.types import Duration, EnumType, OctalIntType, Seconds

if TYPE_CHECKING:
    from rich_click.rich_panel import RichOptionPanel

PROGRAM = "granian"


class StackedOption(click.RichOption):
    """An option whose help is laid out below its name.

    rich-click's columns cut long names and break variables in the middle at a width of
    80; one above the other, everything stays whole and can be searched.
    """

    def get_rich_table_row(
        self,
        ctx: click.RichContext,
        formatter: click.RichHelpFormatter,
        panel: RichOptionPanel | None = None,
    ) -> Any:
        """Return the one cell of this option: names, help, and what click adds to it."""
        from rich.console import Group  # noqa: PLC0415 - only --help needs rich itself
        from rich.padding import Padding  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        names, text = self.get_help_record(ctx) or ("", "")
        extra = text.removeprefix(self.help or "").strip()
        style = formatter.config
        lines: list[Any] = [
            Text(names, style=style.style_option),
            Padding(Text(self.help or "", style=style.style_option_help), (0, 0, 0, 4)),
            Padding(Text(extra, style=style.style_option_default), (0, 0, 0, 4)),
        ]
        return [Group(*lines)]


def build_command() -> click.RichCommand:
    """Return the command, with one option per declared setting."""
    options = [_option(spec) for spec in option_specs()]
    target = click.Argument(["app"], metavar="APP", required=True)
    command = click.RichCommand(
        name=PROGRAM,
        params=[target, *options],
        callback=_run,
        help="Serve APP, the application at module:attribute (the attribute is 'app' by default).",
        context_settings={
            "help_option_names": ["--help"],
            "rich_help_config": click.RichHelpConfiguration(
                option_groups={PROGRAM: _panels()},
                max_width=100,
                show_arguments=True,
            ),
        },
    )
    version = click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
    made: click.RichCommand = version(command)
    return made


def parse(arguments: list[str]) -> Configuration:
    """Return the configuration that a command line means, without running it.

    Raises:
        click.ClickException: The command line is wrong.
        ConfigurationError: Settings contradict each other.
    """
    with build_command().make_context(PROGRAM, list(arguments)) as context:
        return _configuration(**context.params)


def _run(**parameters: Any) -> int:
    return Supervisor(_configuration(**parameters)).run()


def _configuration(app: str, **parameters: Any) -> Configuration:
    return Configuration.from_parameters(app, parameters)


def _panels() -> list[Any]:
    panels: dict[str, list[str]] = {}
    for spec in option_specs():
        panels.setdefault(spec.title, []).append(spec.flag)
    groups: list[Any] = [{"name": title, "options": flags} for title, flags in panels.items()]
    return [*groups, {"name": "Help", "options": ["--version", "--help"]}]


def _option(spec: OptionSpec) -> StackedOption:
    flag = spec.flag
    if spec.type is bool:
        flag = f"{flag}/--no-{flag.removeprefix('--')}"
    return StackedOption(
        [flag, spec.parameter],
        type=_type(spec),
        default=spec.default,
        multiple=spec.repeatable,
        help=_help(spec),
        envvar=spec.variable,
        show_envvar=True,
        show_default=_shown_default(spec),
    )


def _help(spec: OptionSpec) -> str:
    """Return the help text, with the unit where nothing else tells it."""
    if spec.unit and spec.kind != "duration":
        return f"{spec.help} [{spec.unit}]".replace("[", "(").replace("]", ")")
    return spec.help


def _shown_default(spec: OptionSpec) -> str | bool:
    """Return what ``--help`` shows as the default; words in parentheses, as click does."""
    if spec.default_text:
        return spec.default_text
    if isinstance(spec.default, bool):
        return "enabled" if spec.default else "disabled"
    if isinstance(spec.default, str):
        return spec.default
    return spec.default is not None and spec.default != ()


def _type(spec: OptionSpec) -> Any:
    choices = option_choices(spec)
    if choices:
        return EnumType(choices)
    if spec.kind == "duration":
        return Duration(_whole(spec.minimum), _whole(spec.maximum))
    if spec.kind == "octal":
        return OctalIntType()
    if spec.type is Path:
        return _path_type(spec)
    if spec.type is bool:
        return bool
    if spec.type is int:
        return click.IntRange(_whole(spec.minimum), _whole(spec.maximum))
    if spec.type is float:
        return Seconds(spec.minimum, spec.maximum)
    return str


def _path_type(spec: OptionSpec) -> click.Path:
    return click.Path(
        exists=spec.kind in ("file", "directory") or spec.parameter == "reload_paths",
        file_okay=spec.kind != "directory",
        dir_okay=spec.kind != "file",
        readable=spec.kind in ("file", "directory"),
        path_type=Path,
    )


def _whole(bound: float | None) -> int | None:
    return None if bound is None else int(bound)
