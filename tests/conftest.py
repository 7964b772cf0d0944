"""Session-wide checks. No more than the isolated suites have: they load this too."""

from __future__ import annotations

import contextlib
import importlib.util
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import hypothesis
import pytest

from granian_core import negotiation
from granian_core.negotiation import http1_engine_class, http2_engine_class
from granian_core.testing import MemoryServer
from tests.wires import wires_of

# How long an example takes depends on the machine: no reason to fail.
hypothesis.settings.register_profile("granian", deadline=None)
hypothesis.settings.load_profile("granian")

SOURCES = Path(__file__).resolve().parents[1] / "packages" / "granian-cli" / "src"


def foreign_granian() -> str:
    """Say what is wrong if the import name `granian` is not ours, else nothing."""
    try:
        distribution("granian")
    except PackageNotFoundError:
        pass
    else:
        return "the distribution 'granian' is installed beside ours; use another environment"
    spec = importlib.util.find_spec("granian")
    if spec is None:
        return ""
    location = Path(spec.origin or "").resolve()
    homes = [SOURCES]
    with contextlib.suppress(PackageNotFoundError):
        homes.append(Path(str(distribution("granian-cli").locate_file(""))).resolve())
    if any(home in location.parents for home in homes):
        return ""
    return f"'granian' would be imported from {location}, which is not ours"


@pytest.fixture(scope="session", autouse=True)
def _only_our_granian() -> None:
    """Fail the run where another `granian` could be tested in place of ours."""
    if fault := foreign_granian():
        pytest.exit(fault, returncode=1)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that asks for a wire over all of those on which it has a meaning."""
    own = any("wire" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "wire" in metafunc.fixturenames and "transport" not in metafunc.fixturenames and not own:
        metafunc.parametrize("wire", wires_of(metafunc.definition), indirect=True)


@pytest.fixture(scope="session")
def memory_certificate(tmp_path_factory: pytest.TempPathFactory) -> object:
    """A certificate for servers in memory."""
    pytest.importorskip("trustme", reason="needs granian-core[testing]")
    from granian_core.testing.certs import issue_certificate

    return issue_certificate(tmp_path_factory.mktemp("memory"))


@pytest.fixture
def wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let every `MemoryServer` of the test serve one HTTP version, in one of the ways there are."""
    version, _, how = request.param.removeprefix("http/").partition("+")
    monkeypatch.setattr(MemoryServer, "http_version", version)
    monkeypatch.setattr(MemoryServer, "remote", how == "apart")
    if how == "reference":
        monkeypatch.setattr(negotiation, "FastEngine", http1_engine_class("reference"))
        monkeypatch.setattr(negotiation, "FastHTTP2Engine", http2_engine_class("reference"))
    if how == "tls":
        certificate = request.getfixturevalue("memory_certificate")
        monkeypatch.setattr(MemoryServer, "tls", certificate)
    return str(request.param)
