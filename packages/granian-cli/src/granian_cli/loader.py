"""Finding the application that a target such as ``package.module:app`` names.

A worker calls `load_target`; nothing here knows of processes. What the application itself
raises keeps its own traceback, with the frames of ours and of importlib removed.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from pathlib import Path

from granian_cli.errors import TargetError

DEFAULT_ATTRIBUTE = "app"

_SEPARATOR = re.compile(r":(?![\\/])")
"""The first colon, but not that of a Windows drive or of a URL-like path."""


def split_target(target: str) -> tuple[str, str]:
    """Return the module (or path) and the attribute of a target; the default is ``app``."""
    parts = _SEPARATOR.split(target, maxsplit=1)
    attribute = parts[1] if len(parts) > 1 and parts[1] else DEFAULT_ATTRIBUTE
    return parts[0], attribute


def load_target(target: str, *, factory: bool = False, working_dir: Path | None = None) -> object:
    """Import the application.

    Args:
        target: ``module:attribute``, where the module is a dotted name, a file or a path
            without suffix, and the attribute may be dotted.
        factory: Call the object without arguments; what it returns is the application.
        working_dir: Directory that is searched first; the current one comes next.

    Raises:
        TargetError: There is no such module or attribute, or the application's code raised.
    """
    path, attribute = split_target(target)
    name = prepare_import(path, working_dir)
    found = _attribute(_import(path, name), name, attribute)
    if not factory:
        return found
    return _call_factory(target, found)


def prepare_import(path: str, working_dir: Path | None = None) -> str:
    """Make the module that *path* means importable, and return its dotted name.

    The directory that holds its outermost package goes to the front of ``sys.path``,
    and *working_dir* before it.
    """
    base = _base(path, working_dir)
    full = (base / path).resolve() if path else base.resolve()
    if full.suffix == ".py":
        full = full.with_suffix("")
    if full.name == "__init__":
        full = full.parent
    names = [full.name]
    directory = full.parent
    while (directory / "__init__.py").is_file() and directory != directory.parent:
        names.insert(0, directory.name)
        directory = directory.parent
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
    if working_dir is not None:
        sys.path.insert(0, str(working_dir.resolve()))
    return ".".join(names)


def _base(path: str, working_dir: Path | None) -> Path:
    """Return where a relative path starts: the working directory option, if it is there."""
    here = Path.cwd()
    if working_dir is None:
        return here
    candidate = working_dir.resolve() / path
    there = candidate.exists() or candidate.with_name(f"{candidate.name}.py").exists()
    return working_dir.resolve() if there else here


def _import(path: str, name: str) -> object:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and (name == exc.name or name.startswith(f"{exc.name}.")):
            raise TargetError(
                f"cannot import {path!r}: there is no module {exc.name!r}; "
                "check APP and --working-dir"
            ) from None
        raise _application_error(f"cannot import {path!r}", exc) from exc
    except (Exception, SystemExit) as exc:
        raise _application_error(f"cannot import {path!r}", exc) from exc


def _attribute(module: object, name: str, attribute: str) -> object:
    found = module
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise TargetError(
                f"the module {name!r} has no attribute {attribute!r}; name the application "
                f"as {name}:ATTRIBUTE"
            ) from None
    return found


def _call_factory(target: str, found: object) -> object:
    if not callable(found):
        raise TargetError(f"--factory: {target!r} is not callable; drop --factory")
    try:
        return found()
    except (Exception, SystemExit) as exc:
        raise _application_error(f"the factory {target!r} raised", exc) from exc


def _application_error(what: str, exc: BaseException) -> TargetError:
    """Return the error for something that the application's own code raised."""
    frames = exc.__traceback__
    while frames is not None and _is_ours(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    lines = traceback.format_exception(type(exc), exc, frames)
    summary = traceback.format_exception_only(type(exc), exc)[-1].strip()
    return TargetError(f"{what}: {summary}", "".join(lines))


def _is_ours(filename: str) -> bool:
    return (
        filename == __file__
        or filename.startswith("<frozen importlib")
        or os.path.dirname(filename) == os.path.dirname(importlib.__file__)
    )
