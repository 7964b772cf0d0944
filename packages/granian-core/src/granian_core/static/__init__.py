"""Static files: directories that are served without calling the application.

`StaticFiles` sits between a stream and the interface. What it decides is in pure
functions: names in `paths`, types in `mime`, preconditions in `conditions`, ranges in
`ranges`, codings in `codings`; `lookup` alone touches the file system.
"""

from __future__ import annotations

from granian_core.static.handler import StaticFiles

__all__ = ["StaticFiles"]
