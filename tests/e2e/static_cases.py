"""The battery for static files: requests, and what has to come back.

A plain table, so that every interface and HTTP version runs the same one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

MODIFIED = 1_700_000_000
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
EARLIER = "Tue, 14 Nov 2023 22:13:19 GMT"
LATER = "Tue, 14 Nov 2023 22:13:21 GMT"

CSS = b"body { margin: 0 }\n"
LARGE = bytes(range(256)) * 2048
DIGITS = b"0123456789"
CANARY = b"canary: nobody may read this"


def etag(size: int, coding: str = "") -> str:
    """Return the entity tag of a file of this tree."""
    return f'"{MODIFIED * 10**9:x}-{size:x}{"-" + coding if coding else ""}"'


TAG = etag(len(DIGITS))


def make_tree(directory: Path) -> Path:
    """Make the mount, with things around it that must not be served; return the mount."""
    (directory / "canary.txt").write_bytes(CANARY)
    (directory / "outside").mkdir()
    (directory / "outside" / "canary.txt").write_bytes(CANARY)
    mount = directory / "mount"
    mount.mkdir()
    (directory / "mount-sibling").mkdir()
    (directory / "mount-sibling" / "canary.txt").write_bytes(CANARY)
    content: dict[str, bytes] = {
        "a.css": CSS,
        "app.js": b"let x\n",
        "app.js.br": b"brotli",
        "app.js.gz": b"gzip",
        "app.js.zst": b"zstandard",
        "old.js": b"new\n",
        "old.js.gz": b"stale",
        "digits.txt": DIGITS,
        "large.bin": LARGE,
        "large.html": b"<p>" * 100_000,
        "large.html.gz": LARGE[:200_000],
        "empty.txt": b"",
        "caf\xe9 au lait.txt": b"coffee",
        "日本.html": b"<p>",
        "a+b&c=d;e.txt": b"odd",
        "%41.txt": b"percent",
        "no-extension": b"?",
        "UPPER.PNG": b"png",
        "video.ts": b"ts",
        "page.xml": b"<a/>",
        "sub/index.html": b"<h1>index</h1>",
        "sub/deep/x.json": b"{}",
        "bare/x.txt": b"x",
        ".hidden": b"secret",
        ".git/config": b"secret",
        "sub/.env": b"secret",
        ".well-known/security.txt": b"Contact: a",
    }
    for name, data in content.items():
        path = mount / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (MODIFIED, MODIFIED))
    os.utime(mount / "old.js.gz", (MODIFIED - 60, MODIFIED - 60))
    (mount / "inside.txt").symlink_to("digits.txt")
    (mount / "inside-directory").symlink_to("sub")
    (mount / "escape.txt").symlink_to("../canary.txt")
    (mount / "escape-absolute.txt").symlink_to(directory / "canary.txt")
    (mount / "escape-directory").symlink_to("../outside")
    (mount / "escape-sibling").symlink_to("../mount-sibling")
    (mount / "dangling").symlink_to("nowhere")
    (mount / "loop").symlink_to("loop")
    (mount / "null").symlink_to("/dev/null")
    os.mkfifo(mount / "fifo")
    return mount


@dataclass(frozen=True)
class Case:
    """One request and what has to come back."""

    name: str
    target: str
    status: int
    body: bytes | None = None
    """The content; None if it does not matter."""
    expected: dict[str, str | None] = field(default_factory=dict)
    """Fields of the response; None for those that must not be there."""
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "GET"


def _get(name: str, target: str, body: bytes, **expected: str | None) -> Case:
    fields = {key.replace("_", "-"): value for key, value in expected.items()}
    return Case(name, target, 200, body, fields)


def _missing(name: str, target: str) -> Case:
    return Case(name, target, 404, b"Not found", {"cache-control": None, "etag": None})


def _passed_on(name: str, target: str) -> Case:
    return Case(name, target, 299, b"application")


def _with(
    name: str,
    status: int,
    *headers: tuple[str, str],
    body: bytes | None = None,
    target: str = "/static/digits.txt",
    method: str = "GET",
    **expected: str | None,
) -> Case:
    fields = {key.replace("_", "-"): value for key, value in expected.items()}
    return Case(name, target, status, body, fields, headers, method)


def _accept(name: str, value: str, body: bytes, coding: str | None, target: str = "app.js") -> Case:
    return _with(
        name,
        200,
        ("accept-encoding", value),
        body=body,
        target=f"/static/{target}",
        content_encoding=coding,
        vary="accept-encoding",
    )


CASES = [
    _get(
        "a whole answer",
        "/static/digits.txt",
        DIGITS,
        content_length="10",
        content_type="text/plain; charset=utf-8",
        cache_control="max-age=86400",
        last_modified=DATE,
        etag=TAG,
        accept_ranges="bytes",
        content_encoding=None,
        vary=None,
        server="granian",
        transfer_encoding=None,
    ),
    _get("css", "/static/a.css", CSS, content_type="text/css; charset=utf-8"),
    _get("javascript", "/static/app.js", b"let x\n", content_type="text/javascript; charset=utf-8"),
    _get("no charset on xml", "/static/page.xml", b"<a/>", content_type="text/xml"),
    _get("no type", "/static/no-extension", b"?", content_type=None),
    _get("an upper-case extension", "/static/UPPER.PNG", b"png", content_type="image/png"),
    _get("a transport stream", "/static/video.ts", b"ts", content_type="video/mp2t"),
    _get("an empty file", "/static/empty.txt", b"", content_length="0"),
    _get("a large file", "/static/large.bin", LARGE, content_length=str(len(LARGE))),
    _get("a query is ignored", "/static/a.css?v=1&../x", CSS),
    _get("a file below", "/static/sub/deep/x.json", b"{}", content_type="application/json"),
    _get("an index", "/static/sub/", b"<h1>index</h1>", content_type="text/html; charset=utf-8"),
    _get("an index without a slash", "/static/sub", b"<h1>index</h1>"),
    _get("an encoded letter", "/static/%61.css", CSS),
    _get("an encoded route", "/st%61tic/a.css", CSS),
    _get("an encoded dot", "/static/a%2ecss", CSS),
    _get("spaces and accents", "/static/caf%C3%A9%20au%20lait.txt", b"coffee"),
    _get("other scripts", "/static/%E6%97%A5%E6%9C%AC.html", b"<p>"),
    _get("reserved characters", "/static/a+b&c=d;e.txt", b"odd"),
    _get("reserved characters, encoded", "/static/a%2Bb%26c%3Dd%3Be.txt", b"odd"),
    _get("a name with a percent sign", "/static/%2541.txt", b"percent"),
    _get("well-known", "/static/.well-known/security.txt", b"Contact: a"),
    _get("a link inside", "/static/inside.txt", DIGITS),
    _get("a linked directory inside", "/static/inside-directory/deep/x.json", b"{}"),
    _get("a compressed file by its own name", "/static/app.js.gz", b"gzip", content_encoding=None),
    _get("the second mount", "/assets/v1/a.css", CSS),
    _get("again, from memory", "/static/a.css", CSS, content_type="text/css; charset=utf-8"),
    # -- not found ---------------------------------------------------------------
    _missing("a missing file", "/static/missing.css"),
    _missing("a missing directory", "/static/missing/a.css"),
    _missing("the mount without index", "/static/"),
    _missing("the bare route", "/static"),
    _missing("a directory without index", "/static/bare/"),
    _missing("a file as a directory", "/static/a.css/"),
    _missing("below a file", "/static/a.css/x"),
    _missing("another case", "/static/A.CSS"),
    _missing("hidden file", "/static/.hidden"),
    _missing("hidden directory", "/static/.git/config"),
    _missing("hidden below", "/static/sub/.env"),
    _missing("hidden, encoded", "/static/%2Ehidden"),
    _missing("a fifo", "/static/fifo"),
    _missing("a device", "/static/null"),
    _missing("a dangling link", "/static/dangling"),
    _missing("a link to itself", "/static/loop"),
    _missing("a link out", "/static/escape.txt"),
    _missing("an absolute link out", "/static/escape-absolute.txt"),
    _missing("a linked directory out", "/static/escape-directory/canary.txt"),
    _missing("a neighbour with the same beginning", "/static/escape-sibling/canary.txt"),
    _missing("dots", "/static/../canary.txt"),
    _missing("dots in the middle", "/static/sub/../../canary.txt"),
    _missing("dots that stay inside", "/static/sub/../a.css"),
    _missing("encoded dots", "/static/%2e%2e/canary.txt"),
    _missing("half-encoded dots", "/static/.%2E/canary.txt"),
    _missing("an encoded slash", "/static/..%2fcanary.txt"),
    _missing("all encoded", "/static/%2e%2e%2fcanary.txt"),
    _missing("an encoded slash inside", "/static/sub%2Fdeep/x.json"),
    _missing("encoded twice", "/static/%252e%252e/canary.txt"),
    _missing("encoded twice, slash", "/static/..%252fcanary.txt"),
    _missing("backslashes", "/static/..%5ccanary.txt"),
    _missing("bare backslashes", "/static/..\\canary.txt"),
    _missing("overlong encoding", "/static/%c0%ae%c0%ae/canary.txt"),
    _missing("a NUL", "/static/a.css%00"),
    _missing("a NUL before an extension", "/static/canary.txt%00.css"),
    _missing("an absolute path", "/static//etc/passwd"),
    _missing("an encoded absolute path", "/static/%2fetc/passwd"),
    _missing("a drive", "/static/C:/windows/win.ini"),
    _missing("trailing dots", "/static/.../canary.txt"),
    _missing("a trailing dot", "/static/a.css."),
    _missing("a trailing space", "/static/a.css%20"),
    _missing("invalid UTF-8", "/static/%ff%fe"),
    _missing("a name of 10,000 bytes", "/static/" + "a" * 10_000),
    _missing("a path of 2,000 names", "/static" + "/a" * 2000),
    # -- not ours ----------------------------------------------------------------
    _passed_on("the application", "/"),
    _passed_on("a route is a segment", "/staticx"),
    _passed_on("a route is case-sensitive", "/Static/a.css"),
    _passed_on("a doubled slash before the route", "//static/a.css"),
    _passed_on("above the second mount", "/assets/"),
    # -- methods -----------------------------------------------------------------
    _with("HEAD", 200, method="HEAD", body=b"", content_length="10", etag=TAG),
    _with(
        "HEAD of a large file",
        200,
        method="HEAD",
        body=b"",
        target="/static/large.bin",
        content_length=str(len(LARGE)),
    ),
    _with("HEAD of nothing", 404, method="HEAD", body=b"", target="/static/x"),
    _with("HEAD ignores Range", 200, ("range", "bytes=0-1"), method="HEAD", content_length="10"),
    _with("OPTIONS", 204, method="OPTIONS", body=b"", allow="GET, HEAD, OPTIONS"),
    *(
        _with(method, 405, method=method, allow="GET, HEAD, OPTIONS")
        for method in ("POST", "PUT", "DELETE", "PATCH", "PROPFIND")
    ),
    # -- preconditions -----------------------------------------------------------
    _with(
        "If-None-Match",
        304,
        ("if-none-match", TAG),
        body=b"",
        etag=TAG,
        last_modified=DATE,
        cache_control="max-age=86400",
        content_type=None,
    ),
    _with("If-None-Match in a list", 304, ("if-none-match", f'"x", W/{TAG}')),
    _with("If-None-Match in two fields", 304, ("if-none-match", '"x"'), ("if-none-match", TAG)),
    _with("If-None-Match, any", 304, ("if-none-match", "*")),
    _with("If-None-Match of another", 200, ("if-none-match", '"x"'), body=DIGITS),
    _with(
        "If-None-Match, large", 304, ("if-none-match", etag(len(LARGE))), target="/static/large.bin"
    ),
    _with("If-None-Match with HEAD", 304, ("if-none-match", TAG), method="HEAD"),
    _with("If-Modified-Since", 304, ("if-modified-since", DATE)),
    _with("If-Modified-Since, earlier", 200, ("if-modified-since", EARLIER), body=DIGITS),
    _with("If-Modified-Since, nonsense", 200, ("if-modified-since", "x"), body=DIGITS),
    _with(
        "If-None-Match wins",
        200,
        ("if-none-match", '"x"'),
        ("if-modified-since", LATER),
        body=DIGITS,
    ),
    _with("If-Match", 200, ("if-match", TAG), body=DIGITS),
    _with("If-Match of another", 412, ("if-match", '"x"'), body=b""),
    _with("If-Match is strong", 412, ("if-match", f"W/{TAG}")),
    _with("If-Unmodified-Since", 200, ("if-unmodified-since", DATE), body=DIGITS),
    _with("If-Unmodified-Since, earlier", 412, ("if-unmodified-since", EARLIER)),
    # -- ranges ------------------------------------------------------------------
    _with(
        "a range",
        206,
        ("range", "bytes=2-4"),
        body=b"234",
        content_range="bytes 2-4/10",
        content_length="3",
        content_type="text/plain; charset=utf-8",
    ),
    _with("to the end", 206, ("range", "bytes=7-"), body=b"789", content_range="bytes 7-9/10"),
    _with("the last ones", 206, ("range", "bytes=-2"), body=b"89", content_range="bytes 8-9/10"),
    _with("past the end", 206, ("range", "bytes=8-99"), body=b"89", content_range="bytes 8-9/10"),
    _with("overlapping ones", 206, ("range", "bytes=0-3,2-5"), body=b"012345"),
    _with("not satisfiable", 416, ("range", "bytes=10-"), body=b"", content_range="bytes */10"),
    _with("of nothing", 416, ("range", "bytes=0-"), target="/static/empty.txt"),
    _with("malformed", 200, ("range", "bytes=4-2"), body=DIGITS, content_range=None),
    _with("another unit", 200, ("range", "lines=1-2"), body=DIGITS),
    _with("1,000 ranges", 200, ("range", "bytes=" + ",".join(["0-0"] * 500)), body=DIGITS),
    _with("If-Range", 206, ("range", "bytes=0-1"), ("if-range", TAG), body=b"01"),
    _with("If-Range by date", 206, ("range", "bytes=0-1"), ("if-range", DATE), body=b"01"),
    _with("If-Range of another", 200, ("range", "bytes=0-1"), ("if-range", '"x"'), body=DIGITS),
    _with("If-Range, earlier", 200, ("range", "bytes=0-1"), ("if-range", EARLIER), body=DIGITS),
    _with("304 before 206", 304, ("range", "bytes=0-1"), ("if-none-match", TAG)),
    _with(
        "a range of a large file",
        206,
        ("range", "bytes=1000-400999"),
        body=LARGE[1000:401_000],
        target="/static/large.bin",
        content_length="400000",
        content_range=f"bytes 1000-400999/{len(LARGE)}",
    ),
    # -- precompressed siblings --------------------------------------------------
    _accept("the preferred coding", "gzip, deflate, br, zstd", b"brotli", "br"),
    _accept("gzip", "gzip", b"gzip", "gzip"),
    _accept("zstandard", "zstd, gzip", b"zstandard", "zstd"),
    _accept("by weight", "br;q=0.1, gzip", b"gzip", "gzip"),
    _accept("none that we have", "compress", b"let x\n", None),
    _accept("refused ones", "br;q=0, gzip;q=0, zstd;q=0", b"let x\n", None),
    _accept("any", "*", b"brotli", "br"),
    _accept("a large one", "gzip", LARGE[:200_000], "gzip", "large.html"),
    _with(
        "a tag of its own",
        304,
        ("accept-encoding", "gzip"),
        ("if-none-match", etag(4, "gzip")),
        target="/static/app.js",
        vary="accept-encoding",
    ),
    _with(
        "not the tag of another coding",
        200,
        ("accept-encoding", "gzip"),
        ("if-none-match", etag(6)),
        target="/static/app.js",
        body=b"gzip",
    ),
    _with(
        "a range of the coded content",
        206,
        ("accept-encoding", "gzip"),
        ("range", "bytes=1-2"),
        target="/static/app.js",
        body=b"zi",
        content_encoding="gzip",
    ),
    _with(
        "no sibling that is older",
        200,
        ("accept-encoding", "gzip"),
        target="/static/old.js",
        body=b"new\n",
        content_encoding=None,
        vary=None,
    ),
]
