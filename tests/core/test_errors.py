"""The error tree: who inherits from whom, exit codes, texts."""

from __future__ import annotations

import copy
import pickle

import pytest

from granian_core import errors
from granian_core.errors import (
    AppLoadError,
    BindError,
    BodyTooLarge,
    ClientDisconnected,
    ConfigurationError,
    FatalError,
    GranianError,
    LocalProtocolError,
    ProtocolError,
    RemoteProtocolError,
    StartupError,
)


@pytest.mark.parametrize(
    ("error", "parents"),
    [
        (FatalError, {GranianError}),
        (ConfigurationError, {FatalError}),
        (AppLoadError, {FatalError}),
        (BindError, {FatalError}),
        (StartupError, {FatalError}),
        (ProtocolError, {GranianError}),
        (RemoteProtocolError, {ProtocolError}),
        (ClientDisconnected, {RemoteProtocolError}),
        (BodyTooLarge, {RemoteProtocolError}),
        (LocalProtocolError, {ProtocolError, RuntimeError}),
        (GranianError, {Exception}),
    ],
)
def test_error_has_its_place_in_the_tree(
    error: type[Exception], parents: set[type[Exception]]
) -> None:
    """What a caller may catch is a promise."""
    assert set(error.__bases__) == parents


def test_every_error_is_in_the_tree() -> None:
    """No error of the module stands outside of GranianError."""
    found = [value for value in vars(errors).values() if isinstance(value, type)]
    assert len(found) == 12
    assert all(issubclass(error, GranianError) for error in found)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FatalError("x"), 1),
        (ConfigurationError("--port"), 1),
        (AppLoadError("x"), 3),
        (BindError("x"), 4),
        (StartupError("x"), 5),
    ],
)
def test_fatal_errors_carry_the_exit_code_of_the_process(error: FatalError, code: int) -> None:
    """The codes are an interface to init systems."""
    assert error.exit_code == code


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConfigurationError("--port", 70_000, "use 0 to 65535"), "--port=70000: use 0 to 65535"),
        (ConfigurationError("--host", None, "name one"), "--host: name one"),
        (ConfigurationError("--ssl-key", "a.pem"), "--ssl-key=a.pem"),
        (ConfigurationError("--ssl-key"), "--ssl-key"),
        (ConfigurationError("--max", 0, "use 1 or more"), "--max=0: use 1 or more"),
        (RemoteProtocolError("bad chunk"), "bad chunk"),
        (ClientDisconnected(), "client disconnected"),
        (BodyTooLarge(), "request body too large"),
    ],
)
def test_text_says_what_was_wrong(error: GranianError, text: str) -> None:
    """A configuration error names the option, the value and the remedy."""
    assert str(error) == text


def test_remote_errors_hint_at_a_status() -> None:
    """The answer to a peer's fault travels with it."""
    assert RemoteProtocolError("x").status_hint == 400
    assert RemoteProtocolError("x", 431).status_hint == 431
    assert ClientDisconnected().status_hint == 400
    assert BodyTooLarge().status_hint == 413


def test_configuration_error_survives_pickle_and_copy() -> None:
    """A worker process reports it to the supervisor as it is."""
    error = ConfigurationError("--port", 1, "no")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (twin.option, twin.value, twin.remedy) == ("--port", 1, "no")
        assert str(twin) == str(error)
