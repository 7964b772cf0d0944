"""Make HTTP/1.1 byte streams: valid ones with what they mean, and damaged ones.

The generator takes any `random.Random`, so that hypothesis can drive (and shrink) it
and the long-running fuzzer can seed it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
TARGET = TOKEN + "/?:@,;()="
VALUE = bytes(byte for byte in range(0x21, 0x100) if byte != 0x7F)
CLOSING = "connection"

SNIPPETS = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b" ", b"\t", b"\x00", b"\x0b", b"\x7f", b"\xff",
    b":", b",", b";", b"0", b"0\r\n\r\n", b"5\r\nhello\r\n", b"-1", b"+1", b"0x", b"HTTP/1.1",
    b"HTTP/1.0", b"HTTP/2.0", b"Host: b\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n",
    b"content-length:\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n",
    b"Transfer-Encoding: ,chunked\r\n", b"Connection: close\r\n", b"Expect: 100-continue\r\n",
    b"Upgrade: h2c\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"X : y\r\n", b" fold\r\n", b"*",
    b"http://h/", b"CONNECT", b"OPTIONS", b"#", b"FFFFFFFFFFFFFFFF\r\n", b"99999999999999999999",
    b'"', b"\\", b"a" * 300,
)  # fmt: skip
"""What a mutation inserts: the pieces that framing is made of, right and wrong."""


LINES = (
    b"GET / HTTP/1.0", b"GET * HTTP/1.1", b"OPTIONS * HTTP/1.1", b"CONNECT a:1 HTTP/1.1",
    b"GET http://b/ HTTP/1.1", b"GET / HTTP/2.0", b"GET  / HTTP/1.1", b"POST / HTTP/1.1", b"GET /",
    b"\r\nGET / HTTP/1.1", b"GET /#a HTTP/1.1", b"HEAD / HTTP/1.1", b"", b" GET / HTTP/1.1",
)  # fmt: skip
"""Request lines that have a meaning for the fields behind them."""


@dataclass(slots=True)
class Request:
    """One valid request: its bytes, and the calls that an engine must make of it."""

    wire: bytes
    calls: list[tuple[object, ...]] = field(default_factory=list)
    keep_alive: bool = True


def text(rng: random.Random, alphabet: str, least: int, most: int) -> str:
    """Return random characters of *alphabet*."""
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(least, most)))


def value(rng: random.Random, most: int = 20) -> bytes:
    """Return a random field value without surrounding whitespace."""
    parts = [bytes(rng.choice(VALUE) for _ in range(rng.randint(1, most)))]
    if rng.random() < 0.2:
        parts.append(bytes(rng.choice(VALUE) for _ in range(rng.randint(1, most))))
    return rng.choice((b" ", b"\t", b"  ")).join(parts) if rng.random() < 0.9 else b""


def field_line(rng: random.Random, name: bytes, content: bytes) -> bytes:
    """Return a field line with random case and whitespace."""
    if rng.random() < 0.3:
        name = bytes(rng.choice((name, name.upper(), name.title())))
    before, after = rng.choice((b" ", b"", b"\t", b"  ")), rng.choice((b"", b"", b" ", b"\t"))
    return name + b":" + before + content + after + b"\r\n"


def plain_name(rng: random.Random) -> bytes:
    """Return a field name that means nothing to a server."""
    return b"x" + text(rng, TOKEN, 0, 8).lower().encode()


def body(rng: random.Random) -> bytes:
    """Return content; often with bytes that look like framing."""
    if rng.random() < 0.3:
        return b"".join(rng.choice(SNIPPETS) for _ in range(rng.randint(1, 4)))
    return bytes(rng.randrange(256) for _ in range(rng.randint(1, 40)))


def chunked(rng: random.Random, content: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Return *content* in chunks, and the trailer section that was put behind it."""
    wire = bytearray()
    while content:
        size = rng.randint(1, len(content))
        piece, content = content[:size], content[size:]
        digits = rng.choice((b"%x", b"%X", b"%04x", b"%016X")) % size
        extension = rng.choice((b"", b"", b";a", b";a=b", b';a="b;\\" c"', b";a;b=c"))
        wire += digits + extension + b"\r\n" + piece + b"\r\n"
    wire += rng.choice((b"0\r\n", b"000\r\n", b"0;a=b\r\n"))
    trailers = [(plain_name(rng), value(rng)) for _ in range(rng.choice((0, 0, 0, 1, 3)))]
    for name, content_ in trailers:
        wire += field_line(rng, name, content_)
    return bytes(wire) + b"\r\n", trailers


def request(rng: random.Random) -> Request:
    """Return one valid request."""
    method = rng.choice(("GET", "POST", "HEAD", "PUT", text(rng, TOKEN, 1, 6)))
    if method == "CONNECT":
        method = "GET"
    target = ("/" + text(rng, TARGET, 0, 12)).replace("#", "").encode()
    minor = rng.choice((1, 1, 1, 0))
    host = rng.choice((b"a", b"example.org:80", b"[::1]"))
    fields = [(plain_name(rng), value(rng)) for _ in range(rng.randint(0, 4))]
    keep_alive = minor == 1
    if rng.random() < 0.2:
        token, keep_alive = rng.choice(((b"close", False), (b"keep-alive", True)))
        fields.append((b"connection", token))
    length, content, wire_body = 0, b"", b""
    trailers: list[tuple[bytes, bytes]] = []
    framing = rng.choice(("none", "length", "chunked"))
    if framing == "length":
        content = wire_body = body(rng)
        length = len(content)
        fields.append((b"content-length", rng.choice((b"%d", b"%05d")) % length))
    elif framing == "chunked" and minor == 1:
        length = -1
        content = body(rng) if rng.random() < 0.9 else b""
        wire_body, trailers = chunked(rng, content)
        fields.append((b"transfer-encoding", rng.choice((b"chunked", b"Chunked"))))
    expects = rng.random() < 0.1
    if expects:
        fields.append((b"expect", b"100-continue"))
    fields.insert(rng.randint(0, len(fields)), (b"host", host))
    line = f"{method} {target.decode()} HTTP/1.{minor}\r\n".encode()
    head = line + b"".join(field_line(rng, name, content_) for name, content_ in fields) + b"\r\n"
    calls: list[tuple[object, ...]] = [
        (
            "request", method, target, minor, fields, keep_alive, length,
            expects and minor == 1 and length != 0,
        )
    ]  # fmt: skip
    if content:
        calls.append(("data", content))
    if length:
        calls.append(("end", trailers or None))
    return Request(head + wire_body, calls, keep_alive)


def stream(rng: random.Random, most: int = 4) -> tuple[bytes, list[tuple[object, ...]]]:
    """Return valid requests behind each other, and the calls they must make.

    Nothing behind a request that ends the connection makes a call.
    """
    wire = b""
    calls: list[tuple[object, ...]] = []
    reading = True
    for _ in range(rng.randint(1, most)):
        one = request(rng)
        wire += (b"\r\n" if rng.random() < 0.1 else b"") + one.wire
        if reading:
            calls += one.calls
            reading = one.keep_alive
    return wire, calls


def repeated(rng: random.Random) -> list[bytes]:
    """Return a client that asks again with the same fields, each request a piece of its own.

    Most targets differ and most fields do not; some requests are damaged, or differ a little.
    """
    one = request(rng).wire
    end = one.index(b"\r\n")
    pieces = []
    for _ in range(rng.randint(2, 6)):
        line, rest = one[:end], one[end:]
        choice = rng.random()
        if choice < 0.4:
            line = b"GET /" + text(rng, TARGET, 0, 4).encode() + b" HTTP/1.1"
        elif choice < 0.5:
            line = rng.choice(LINES)
        if choice < 0.8:
            pieces.append(line + rest)
        else:
            pieces.append(mutate(rng, one) if choice < 0.9 else line + mutate(rng, rest))
    if rng.random() < 0.1:
        at = rng.randrange(len(pieces))
        pieces[at : at + 2] = [b"".join(pieces[at : at + 2])]
    return pieces


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Return *data* with one to four things wrong with it (or, by luck, none)."""
    wire = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(wire))
        kind = rng.randrange(7)
        if kind == 0:
            wire[at:at] = rng.choice(SNIPPETS)
        elif kind == 1:
            wire[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 2:
            del wire[at : at + rng.randint(1, 4)]
        elif kind == 3:
            end = min(len(wire), at + rng.randint(1, 40))
            wire[at:at] = wire[at:end]
        elif kind == 4:
            del wire[at:]
        else:
            _mutate_line(rng, wire, kind)
    return bytes(wire)


def _mutate_line(rng: random.Random, wire: bytearray, kind: int) -> None:
    """Damage at a line end, or exchange a line: where parsers differ most."""
    ends = [index for index in range(len(wire) - 1) if wire[index : index + 2] == b"\r\n"]
    if not ends:
        return
    at = rng.choice(ends)
    if kind == 5:
        wire[at : at + 2] = rng.choice((b"\n", b"\r", b"\r\r\n", b"\n\r", b" \r\n", b"\r\n ", b""))
    else:
        wire[at + 2 : at + 2] = rng.choice(SNIPPETS)
