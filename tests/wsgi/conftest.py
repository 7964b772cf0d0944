"""Let each test of an application run over a socket, and in memory over every wire."""

from __future__ import annotations

import pytest

from tests.wires import wires_of


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give ``transport`` its values, and with it the fixture `wire`."""
    if "transport" not in metafunc.fixturenames:
        return
    names = wires_of(metafunc.definition)
    pairs = [("socket", "http/1.1")] + [("memory", name) for name in names]
    ids = ["socket"] + ["memory-" + name for name in names]
    metafunc.parametrize(("transport", "wire"), pairs, ids=ids, indirect=["wire"])
