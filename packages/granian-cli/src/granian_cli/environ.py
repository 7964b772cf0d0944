"""Environment files: dotenv files whose variables fill in what the environment lacks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from granian_core.errors import ConfigurationError


class EnvFiles:
    """Loads variables from files, again on each reload, so that edits apply.

    Variables that were set when this was made are never overridden, and one that has
    disappeared from the files is unset again. Of two files, the later one wins.

    Args:
        paths: The files.

    Raises:
        ConfigurationError: python-dotenv is not installed.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._kept = frozenset(os.environ)
        self._ours: frozenset[str] = frozenset()
        if paths:
            _require_dotenv()

    def load(self) -> None:
        """Read the files and set their variables.

        Raises:
            ConfigurationError: A file can not be read.
        """
        if not self._paths:
            return
        from dotenv import dotenv_values  # noqa: PLC0415 - an extra

        found: dict[str, str] = {}
        for path in self._paths:
            try:
                with path.open(encoding="utf-8") as file:
                    values = dotenv_values(stream=file)
            except (OSError, UnicodeDecodeError) as exc:
                raise ConfigurationError("--env-files", path, f"can not be read: {exc}") from exc
            found.update({name: text for name, text in values.items() if text is not None})
        ours = frozenset(found) - self._kept
        for name in self._ours - ours:
            os.environ.pop(name, None)
        for name in ours:
            os.environ[name] = found[name]
        self._ours = ours


def _require_dotenv() -> None:
    try:
        import dotenv  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise ConfigurationError(
            "--env-files", None, "needs python-dotenv: install granian-cli[dotenv]"
        ) from None
