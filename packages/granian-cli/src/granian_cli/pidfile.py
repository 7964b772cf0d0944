"""The pid file: made with O_EXCL, refused while a live process owns it, removed if still ours."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from granian_cli.errors import PidFileError


class PidFile:
    """Holds the supervisor's pid from `create` to `remove`.

    Args:
        path: Where.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Write our pid; a file left by a dead process is replaced.

        Raises:
            PidFileError: A live process owns the file, it holds no pid, or it can not be
                written.
        """
        owner = self._owner()
        if owner is not None and owner != os.getpid() and _is_alive(owner):
            raise PidFileError(
                f"--pid-file={self.path}: it already exists and process {owner} is alive; "
                "stop that process or choose another file"
            )
        try:
            if owner is not None:
                self.path.unlink(missing_ok=True)
            # O_EXCL also refuses a link that somebody placed there (CWE-59).
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            raise PidFileError(
                f"--pid-file={self.path}: another process just made it; start one server only"
            ) from None
        except OSError as exc:
            raise PidFileError(
                f"--pid-file={self.path}: {exc.strerror}; choose a writable place"
            ) from None
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(str(os.getpid()))

    def remove(self) -> None:
        """Remove the file, if it still holds our pid."""
        with contextlib.suppress(OSError, PidFileError):
            if self._owner() == os.getpid():
                self.path.unlink()

    def _owner(self) -> int | None:
        try:
            text = self.path.read_text(encoding="ascii")
            pid = int(text)
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            pid = 0
        if pid <= 0:
            raise PidFileError(
                f"--pid-file={self.path}: it exists and holds no pid; remove it or choose "
                "another file"
            )
        return pid


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
