"""Entry point of the ``granian`` script and of ``python -m granian``.

click and rich are imported inside `entrypoint`: under spawn, multiprocessing imports the
main module again in every worker, and a worker needs neither.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib.metadata import PackageNotFoundError, distribution
from typing import NoReturn

from granian_cli import __version__
from granian_core.errors import FatalError


def entrypoint() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    import click  # noqa: PLC0415 - see above

    from granian_cli.command import PROGRAM, build_command  # noqa: PLC0415
    from granian_cli.threads import is_any_left_behind  # noqa: PLC0415

    warn_about_other_distribution()
    try:
        code = build_command().main(prog_name=PROGRAM, standalone_mode=False)
    except click.ClickException as exc:
        # One line, as for every other mistake; click's own box has five.
        sys.stderr.write(f"Error: {exc.format_message()} (see {PROGRAM} --help)\n")
        code = exc.exit_code
    except FatalError as exc:
        code = report(exc)
    if is_any_left_behind():
        # Python would wait for what the thread has started.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def report(error: FatalError) -> int:
    """Print what kept the server from starting; return the exit code.

    One line of ours, below the application's own traceback where there is one.
    """
    text = getattr(error, "traceback", "")
    sys.stderr.write(f"{text}Error: {error}\n")
    return error.exit_code


def warn_about_other_distribution() -> None:
    """Print one warning if the distribution named ``granian`` is installed beside ours.

    Both own the import name ``granian`` and the script: whichever was installed last has
    overwritten files of the other.
    """
    try:
        other = distribution("granian")
    except PackageNotFoundError:
        return
    sys.stderr.write(
        f"Warning: the distribution granian {other.version} is installed beside "
        f"granian-cli {__version__}; they overwrite each other's files, uninstall one of them\n"
    )
