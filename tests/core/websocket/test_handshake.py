"""Opening handshakes, good and bad (RFC 6455 4.2, RFC 7692 5 and 7.1)."""

from __future__ import annotations

import asyncio

import pytest

from granian_core import LocalProtocolError, WebSocketStream
from granian_core.websocket.deflate import negotiate
from tests.core.http1.serving import turns
from tests.core.websocket.serving import Echo, frames, opened, run, serving
from tests.core.websocket.wire import ACCEPT, KEY, TEXT, close, frame, handshake

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def test_the_answer_is_as_the_rfc_has_it() -> None:
    async def main() -> None:
        async with serving(Echo()) as subject:
            client = await opened(subject)
            head = client.output.partition(b"\r\n\r\n")[0].split(b"\r\n")
            assert head[0] == b"HTTP/1.1 101 Switching Protocols"
            assert b"sec-websocket-accept: " + ACCEPT in head
            names = [line.partition(b":")[0] for line in head[1:]]
            assert names == [b"connection", b"upgrade", b"sec-websocket-accept", b"date"]

    run(main)


@pytest.mark.parametrize(
    "lines",
    [
        (b"Connection: keep-alive, Upgrade",),
        (b"Connection: keep-alive", b"Connection: UPGRADE"),
        (b"Connection:upgrade\t",),
    ],
)
def test_connection_may_be_a_list(lines: tuple[bytes, ...]) -> None:
    async def main() -> None:
        async with serving(Echo()) as subject:
            client = subject.connect()
            client.send(handshake(*lines, drop=b"connection"))
            await turns()
            assert client.output.startswith(b"HTTP/1.1 101 ")

    run(main)


@pytest.mark.parametrize("value", [b"WebSocket", b"foo, websocket", b"WEBSOCKET"])
def test_upgrade_is_a_list_without_case(value: bytes) -> None:
    async def main() -> None:
        async with serving(Echo()) as subject:
            client = subject.connect()
            client.send(handshake(b"Upgrade: " + value, drop=b"upgrade"))
            await turns()
            assert client.output.startswith(b"HTTP/1.1 101 ")

    run(main)


REFUSED = {
    "no-key": (handshake(drop=b"sec-websocket-key"), 400),
    "empty-key": (handshake(b"Sec-WebSocket-Key:", drop=b"sec-websocket-key"), 400),
    "short-key": (handshake(b"Sec-WebSocket-Key: c2hvcnQ=", drop=b"sec-websocket-key"), 400),
    "long-key": (
        handshake(b"Sec-WebSocket-Key: " + b"A" * 24 + b"==", drop=b"sec-websocket-key"),
        400,
    ),
    "no-base64": (
        handshake(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j*Q==", drop=b"sec-websocket-key"),
        400,
    ),
    "two-keys": (handshake(b"Sec-WebSocket-Key: " + KEY), 400),
    "no-version": (handshake(drop=b"sec-websocket-version"), 426),
    "version-8": (handshake(b"Sec-WebSocket-Version: 8", drop=b"sec-websocket-version"), 426),
    "version-14": (handshake(b"Sec-WebSocket-Version: 14", drop=b"sec-websocket-version"), 426),
    "versions": (handshake(b"Sec-WebSocket-Version: 13, 8", drop=b"sec-websocket-version"), 426),
    "two-versions": (handshake(b"Sec-WebSocket-Version: 8"), 426),
    "post": (handshake(method=b"POST"), 405),
    "head": (handshake(method=b"HEAD"), 405),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_handshake_never_reaches_the_application(case: tuple[bytes, int]) -> None:
    data, status = case

    async def main() -> None:
        echo = Echo()
        async with serving(echo) as subject:
            client = subject.connect()
            client.send(data)
            response = await client.receive_response(data[:4].decode().strip())
            assert response.status == status
            version = response.header(b"sec-websocket-version")
            assert version == (b"13" if status == 426 else None)
            assert echo.stream is None
            # The connection goes on as HTTP/1.1.
            client.send(GET)
            assert (await client.receive_response()).body == b"plain"

    run(main)


PLAIN = {
    "http-1.0": handshake().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "no-connection": handshake(drop=b"connection"),
    "connection-other": handshake(b"Connection: keep-alive", drop=b"connection"),
    "no-upgrade": handshake(drop=b"upgrade"),
    "upgrade-other": handshake(b"Upgrade: h2c", drop=b"upgrade"),
    "body": handshake(b"Content-Length: 5") + b"hello",
    "chunked-body": handshake(b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
}


@pytest.mark.parametrize("data", PLAIN.values(), ids=PLAIN.keys())
def test_what_is_no_handshake_is_a_plain_request(data: bytes) -> None:
    async def main() -> None:
        async with serving(Echo()) as subject:
            client = subject.connect()
            client.send(data)
            assert (await client.receive_response()).body == b"plain"

    run(main)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (b"https://good.example", True),
        (b"https://GOOD.example", True),
        (b"http://good.example", False),
        (b"https://good.example.evil", False),
        (b"null", False),
        (None, True),
    ],
)
def test_origins_are_checked_before_the_application(origin: bytes | None, allowed: bool) -> None:
    async def main() -> None:
        async with serving(Echo(), origins=("https://good.example",)) as subject:
            client = subject.connect()
            client.send(handshake(*([b"Origin: " + origin] if origin else [])))
            await turns()
            status = b"101" if allowed else b"403"
            assert client.output.startswith(b"HTTP/1.1 " + status)

    run(main)


def test_frames_behind_the_head_wait_for_the_101() -> None:
    go = asyncio.Event()

    async def main() -> None:
        echo = Echo()

        async def late(stream: WebSocketStream) -> None:
            await go.wait()
            await echo(stream)

        async with serving(late) as subject:
            client = subject.connect()
            client.send(handshake() + frame(TEXT, b"early"))
            client.send(frame(TEXT, b"too"))
            await turns()
            assert client.output == b""
            go.set()
            await turns()
            assert frames(client) == [(TEXT, b"early"), (TEXT, b"too")]

    run(main)


def test_frames_before_the_101_are_bounded() -> None:
    async def main() -> None:
        async def never(stream: WebSocketStream) -> None:
            await stream.wait_answer()

        async with serving(never) as subject:
            client = subject.connect()
            client.send(handshake())
            for _ in range(10):
                client.send(b"x" * 10_000)
            await turns()
            assert client.transport.reading_paused
            client.abort()
            await client.wait_ended()

    run(main)


def test_a_handshake_waits_for_the_responses_before_it() -> None:
    async def main() -> None:
        async with serving(Echo()) as subject:
            client = subject.connect()
            client.send(GET + GET + handshake() + frame(TEXT, b"hi"))
            for _ in range(2):
                assert (await client.receive_response()).body == b"plain"
            await turns()
            head, _, rest = client.unread.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 ")
            assert rest == b"\x81\x02hi"

    run(main)


def test_an_accept_on_the_spot_keeps_what_came_with_the_head() -> None:
    """The engine is still busy with the bytes then."""

    async def main() -> None:
        async def rest(stream: WebSocketStream) -> None:
            stream.send(await stream.receive())

        def at_once(stream: WebSocketStream) -> object:
            stream.accept()
            return rest(stream)

        async with serving(at_once) as subject:  # type: ignore[arg-type]
            client = subject.connect()
            client.send(handshake() + frame(TEXT, b"hi"))
            await turns()
            assert frames(client)[0] == (TEXT, b"hi")

    run(main)


def test_a_refusal_is_a_response_like_any_other() -> None:
    async def main() -> None:
        async def refuse(stream: WebSocketStream) -> None:
            stream.reject(401, [(b"www-authenticate", b"Basic")], b"no")
            with pytest.raises(LocalProtocolError, match="has been answered"):
                stream.accept()

        async with serving(refuse) as subject:
            client = subject.connect()
            client.send(handshake())
            response = await client.receive_response()
            assert (response.status, response.body) == (401, b"no")
            assert response.header(b"sec-websocket-accept") is None
            client.send(GET)
            assert (await client.receive_response()).status == 200

    run(main)


def test_returning_refuses_and_raising_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async def nothing(stream: WebSocketStream) -> None:
            if stream.query_string != b"x=1":
                raise AssertionError
            if b"fail" in dict(stream.headers):
                raise ValueError("told to")

        async with serving(nothing) as subject:
            client = subject.connect()
            client.send(handshake())
            assert (await client.receive_response()).status == 403
            client.send(handshake(b"Fail: yes"))
            assert (await client.receive_response()).status == 500

    run(main)
    assert [record.exc_info is not None for record in caplog.records] == [True]


@pytest.mark.parametrize(
    ("subprotocol", "headers", "fault"),
    [
        ("other", [], "was not offered"),
        (None, [(b"Sec-WebSocket-Protocol", b"a")], "the server's to send"),
        (None, [(b"sec-websocket-accept", b"a")], "the server's to send"),
        (None, [(b"x", b"a\r\nb: c")], "CR, LF or NUL"),
    ],
)
def test_what_can_not_be_accepted_raises_and_sends_nothing(
    subprotocol: str | None, headers: list[tuple[bytes, bytes]], fault: str
) -> None:
    async def main() -> None:
        async def accept(stream: WebSocketStream) -> None:
            assert stream.subprotocols == ["a", "b"]
            with pytest.raises(LocalProtocolError, match=fault):
                stream.accept(subprotocol, headers)
            stream.accept("b", [(b"x-extra", b"1")])

        async with serving(accept) as subject:
            client = subject.connect()
            client.send(handshake(b"Sec-WebSocket-Protocol: a,, b"))
            await turns()
            head = client.output.partition(b"\r\n\r\n")[0]
            assert head.count(b"HTTP/1.1") == 1
            assert b"\r\nsec-websocket-protocol: b" in head
            assert b"\r\nx-extra: 1" in head

    run(main)


def test_a_client_that_leaves_during_the_handshake() -> None:
    seen: list[str] = []

    async def main() -> None:
        async def slow(stream: WebSocketStream) -> None:
            await stream.wait_answer()
            stream.accept()
            seen.append(f"accepted {stream.accepted}")
            stream.send("dropped")
            stream.close()

        async with serving(slow) as subject:
            client = subject.connect()
            client.send(handshake())
            client.abort()
            await client.wait_ended()
            await turns()

    run(main)
    assert seen == ["accepted False"]


OFFERS = {
    "permessage-deflate": "permessage-deflate; server_max_window_bits=12",
    "permessage-deflate; client_max_window_bits": (
        "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"
    ),
    "permessage-deflate; client_max_window_bits=10": (
        "permessage-deflate; server_max_window_bits=12; client_max_window_bits=10"
    ),
    'permessage-deflate; client_max_window_bits="10"': (
        "permessage-deflate; server_max_window_bits=12; client_max_window_bits=10"
    ),
    "permessage-deflate; server_max_window_bits=10": (
        "permessage-deflate; server_max_window_bits=10"
    ),
    "permessage-deflate; server_max_window_bits=15": (
        "permessage-deflate; server_max_window_bits=12"
    ),
    "permessage-deflate;server_no_context_takeover;client_no_context_takeover": (
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
        "server_max_window_bits=12"
    ),
    "foo, permessage-deflate": "permessage-deflate; server_max_window_bits=12",
    "permessage-deflate; server_max_window_bits=8, permessage-deflate": (
        "permessage-deflate; server_max_window_bits=12"
    ),
    "permessage-deflate; server_max_window_bits=8": None,
    "permessage-deflate; server_max_window_bits": None,
    "permessage-deflate; server_max_window_bits=abc": None,
    "permessage-deflate; server_max_window_bits=16": None,
    "permessage-deflate; server_max_window_bits=010": None,
    "permessage-deflate; client_max_window_bits=7": None,
    "permessage-deflate; client_max_window_bits=1e1": None,
    "permessage-deflate; server_no_context_takeover=1": None,
    "permessage-deflate; server_no_context_takeover; server_no_context_takeover": None,
    "permessage-deflate; unknown": None,
    "permessage-deflate; ;": None,
    "permessage-deflate; a b": None,
    "x-webkit-deflate-frame": None,
    "": None,
    ";;;,,,===": None,
}


@pytest.mark.parametrize(("offer", "answer"), OFFERS.items(), ids=range(len(OFFERS)))
def test_compression_is_negotiated_strictly(offer: str, answer: str | None) -> None:
    agreed = negotiate([offer.encode()])

    assert (agreed and agreed.field_value().decode()) == answer


def test_compression_can_be_switched_off() -> None:
    async def main() -> None:
        async with serving(Echo(), compression=False) as subject:
            client = await opened(subject, b"Sec-WebSocket-Extensions: permessage-deflate")
            assert b"extensions" not in client.output
            client.send(close(1000))
            await client.wait_ended()

    run(main)
