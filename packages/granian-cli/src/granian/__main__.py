"""``python -m granian``."""

from __future__ import annotations

from granian_cli.main import entrypoint

if __name__ == "__main__":
    entrypoint()
