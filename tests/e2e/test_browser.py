"""What a browser makes of the server: many resources, a video, and the cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from granian_core.testing.certs import CertificateFiles
from tests.e2e.browser import needs_chromium, page
from tests.e2e.serving import IO_TIMEOUT, ServerProcess, serving

APP = "tests.e2e.apps.files:rsgi"
FFMPEG = shutil.which("ffmpeg")
RESOURCES = 50

pytestmark = needs_chromium


def write_page(mount: Path, count: int) -> None:
    """Write a page that needs *count* style sheets, scripts and images."""
    lines = ["<!doctype html><meta charset=utf-8><link rel=icon href=data:,>"]
    for number in range(count):
        if number % 3 == 0:
            (mount / f"{number}.css").write_text(f".c{number} {{ color: red }}")
            lines.append(f"<link rel=stylesheet href={number}.css>")
        elif number % 3 == 1:
            (mount / f"{number}.js").write_text(f"window.ran = (window.ran || 0) + 1 // {number}")
            lines.append(f"<script src={number}.js></script>")
        else:
            (mount / f"{number}.svg").write_text(
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{number}" height="1"/>'
            )
            lines.append(f"<img src={number}.svg>")
    (mount / "index.html").write_text("\n".join(lines))


def test_a_page_of_many_resources_comes_over_http2(
    tmp_path: Path, certificate: CertificateFiles
) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    write_page(mount, RESOURCES)
    with (
        serving(
            APP, "--static-path-mount", str(mount), interface="rsgi", tls=certificate
        ) as server,
        page(tmp_path / "profile", "--ignore-certificate-errors") as tab,
    ):
        tab.open(f"{server.url}/static/index.html")
        loaded = tab.evaluate(
            """[...performance.getEntriesByType('navigation'),
                ...performance.getEntriesByType('resource')]
               .filter(entry => entry.name.startsWith('https:'))
               .map(entry => [entry.name, entry.nextHopProtocol, entry.responseStatus])"""
        )
        ran = tab.evaluate("window.ran")
        widths = tab.evaluate("[...document.images].map(image => image.naturalWidth)")

    assert len({name for name, _, _ in loaded}) == RESOURCES + 1
    assert {(protocol, status) for _, protocol, status in loaded} == {("h2", 200)}
    assert ran == len(range(1, RESOURCES, 3))
    assert widths == list(range(2, RESOURCES, 3))


def statuses(server: ServerProcess) -> dict[str, list[int]]:
    """Return the statuses that each name was answered with, from the access log."""
    seen: dict[str, list[int]] = {}
    for name, status in re.findall(r"GET /static/(\S+) HTTP/\S+ (\d+)", server.log.text):
        seen.setdefault(name, []).append(int(status))
    return seen


def test_a_reload_revalidates_what_is_cached(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    write_page(mount, 6)
    # Without Cache-Control, what was written just now is stale at once (RFC 9111 4.2.2).
    options = ("--static-path-mount", str(mount), "--static-path-expires", "0", "--access-log")
    form = "%(method)s %(path)s HTTP/0 %(status)d"
    with (
        serving(APP, *options, "--access-log-fmt", form, interface="rsgi") as server,
        page(tmp_path / "profile") as tab,
    ):
        for path in mount.iterdir():
            os.utime(path)
        tab.open(f"{server.url}/static/index.html")
        server.log.wait_for(r"GET /static/5.svg HTTP/0 200")
        tab.reload()
        server.log.wait_for(r"GET /static/5.svg HTTP/0 304")
        ran = tab.evaluate("window.ran")
        seen = statuses(server)

    assert ran == 2
    assert seen.keys() == {path.name for path in mount.iterdir()}
    assert set(map(tuple, seen.values())) == {(200, 304)}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a minute of noise: more than a browser reads ahead."""
    if FFMPEG is None:
        pytest.skip("ffmpeg is not installed")
    path = tmp_path_factory.mktemp("video") / "video.mp4"
    noise = ("-f", "rawvideo", "-pixel_format", "yuv420p", "-video_size", "640x480")
    length = ("-framerate", "1", "-t", "60", "-i", "/dev/urandom")
    codec = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "10")
    subprocess.run(
        [FFMPEG, "-v", "error", *noise, *length, *codec, str(path)],
        check=True,
        timeout=4 * IO_TIMEOUT,
        stdin=subprocess.DEVNULL,
    )
    return path


@pytest.mark.parametrize("secure", [False, True], ids=["http/1.1", "http/2"])
def test_a_video_is_played_and_sought(
    tmp_path: Path, certificate: CertificateFiles, video: Path, *, secure: bool
) -> None:
    mount = video.parent
    (mount / "index.html").write_text("<link rel=icon href=data:,><video muted></video>")
    form = "%(method)s %(path)s %(status)d [%(header{Range})s]"
    options = ("--static-path-mount", str(mount), "--access-log", "--access-log-fmt", form)
    with (
        serving(APP, *options, interface="rsgi", tls=certificate if secure else None) as server,
        page(tmp_path / "profile", "--ignore-certificate-errors") as tab,
    ):
        tab.open(f"{server.url}/static/index.html")
        played = tab.evaluate(
            """new Promise((done, fail) => {
                 const video = document.querySelector('video')
                 video.onerror = () => fail(video.error.message)
                 video.ontimeupdate = () => { if (video.currentTime > 0) done(video.duration) }
                 video.src = 'video.mp4'
                 video.play()
               })"""
        )
        sought = tab.evaluate(
            """new Promise((done, fail) => {
                 const video = document.querySelector('video')
                 video.onerror = () => fail(video.error.message)
                 video.onseeked = () => done([video.currentTime, video.readyState])
                 video.pause()
                 video.currentTime = 50
               })"""
        )
        found = server.log.wait_for(r"GET /static/video.mp4 206 \[bytes=([1-9]\d*)-")

    assert played == pytest.approx(60, abs=1)
    assert sought[0] == 50
    assert sought[1] >= 2  # HAVE_CURRENT_DATA
    assert int(found[1]) > 1_000_000
