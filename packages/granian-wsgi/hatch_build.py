"""Compiles hot modules while the wheel is built, if asked to: by the build hook of granian-core.

In a checkout it is beside this package; the sdist carries it as ``compile_hook.py``.
"""

from pathlib import Path
from runpy import run_path

_HERE = Path(__file__).resolve().parent
_PLACES = (_HERE / "compile_hook.py", _HERE.parent / "granian-core" / "hatch_build.py")
_FOUND = [str(place) for place in _PLACES if place.is_file()]
if not _FOUND:
    raise FileNotFoundError(f"{_PLACES[1]}: build in a checkout of all packages, or from the sdist")

CompileHook = run_path(_FOUND[0])["CompileHook"]
