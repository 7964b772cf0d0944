"""The benchmark suite's arithmetic, selections and command line; nothing is timed here."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shutil
import socketserver
import ssl
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from benchmarks import chart, cli, environments, profiling, report
from benchmarks.cases import CASES, INTERFACES, WebSocketLoad
from benchmarks.download import download
from benchmarks.errors import BenchmarkError
from benchmarks.load import check_answer, parse_h2load, parse_result
from benchmarks.material import STATIC_FILES, Material, material
from benchmarks.measure import Failure, Sample, entries
from benchmarks.open_loop import OpenLoop, percentile, request_bytes
from benchmarks.processes import free_port, read_tree
from benchmarks.servers import SERVERS
from benchmarks.websocket_load import Load, masked_frame, message


def sample(server: str, number: int, cpu_us: float, **changes: object) -> Sample:
    made = Sample(
        case="get-browser",
        interface="asgi",
        server=server,
        round=number,
        requests=1000,
        seconds=0.5,
        cpu_s=cpu_us * 1000 / 1e6,
        p50_us=100.0,
        p99_us=200.0,
        worker_rss=30_000_000,
        tree_rss=60_000_000,
        failures={},
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def results(*samples: Sample, failures: tuple[Failure, ...] = ()) -> report.Results:
    return report.Results({"machine": "test", "peer": {"x": "1.0"}}, "ours", samples, failures)


class _Constant(socketserver.BaseRequestHandler):
    """Answers each request head on a connection with one octet."""

    def handle(self) -> None:
        buffer = b""
        while data := self.request.recv(65_536):
            buffer += data
            while b"\r\n\r\n" in buffer:
                buffer = buffer.partition(b"\r\n\r\n")[2]
                self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")


@pytest.fixture
def constant_server() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Constant) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


RECORDED = (
    *(sample("ours", number, cost) for number, cost in enumerate((10.0, 12.0, 30.0))),
    *(sample("granian-rust", number, cost) for number, cost in enumerate((20.0, 16.0, 25.0))),
)


def test_ratio_is_of_medians_and_its_spread_of_rounds() -> None:
    found = report.ratio(RECORDED[:3], RECORDED[3:])
    assert found is not None
    assert found.of_medians == pytest.approx(12.0 / 20.0)
    assert (found.low, found.high) == pytest.approx((10.0 / 20.0, 30.0 / 25.0))


def test_ratio_pairs_rounds_by_number_when_one_is_missing() -> None:
    found = report.ratio(RECORDED[1:3], RECORDED[3:5])
    assert found is not None
    assert (found.low, found.high) == pytest.approx((12.0 / 16.0, 12.0 / 16.0))


def test_ratio_of_servers_without_a_common_round_is_none() -> None:
    assert report.ratio(RECORDED[:1], RECORDED[4:5]) is None


def test_groups_hold_medians_and_no_ratio_for_the_reference() -> None:
    (group,) = report.groups(results(*RECORDED))
    ours, peer = group.rows
    assert (ours.server, peer.server) == ("ours", "granian-rust")
    assert (ours.cpu_us, peer.cpu_us) == pytest.approx((12.0, 20.0))
    assert (ours.rate, ours.p50_us, ours.p99_us) == (2000.0, 100.0, 200.0)
    assert ours.ratio is None
    assert peer.ratio is not None


def test_text_shows_ratio_spread_failed_requests_and_what_was_not_measured() -> None:
    broken = sample("hypercorn", 0, 100.0, failures={"read": 3, "status": 4})
    missing = Failure("get", "asgi", "uvicorn-h11", 1, "exited with 3:\nno module")
    text = report.to_text(results(*RECORDED, broken, failures=(missing,)))
    assert "0.600 (0.50 .. 1.20)" in text
    assert "7 FAILED REQUESTS" in text
    assert "NOT MEASURED get/asgi uvicorn (h11), round 2: exited with 3:\nno module" in text
    assert "peer: x 1.0" in text


def test_json_keeps_every_sample_and_reads_back_the_same() -> None:
    recorded = results(*RECORDED, failures=(Failure("get", "asgi", "floor", 0, "why"),))
    text = report.to_json(recorded)
    assert report.from_json(text) == recorded
    (group,) = json.loads(text)["groups"]
    assert group["rows"][1]["ratio"]["of_medians"] == pytest.approx(0.6)


def test_chart_is_svg_with_a_bar_as_long_as_the_cost() -> None:
    root = ET.fromstring(chart.to_svg(results(*RECORDED)))
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    widths = [float(bar.attrib["width"]) for bar in root.iter(f"{space}rect")][1:]
    assert len(widths) == 2
    assert widths[0] / widths[1] == pytest.approx(12.0 / 20.0, rel=0.01)
    assert "12.0 µs" in [text.text for text in root.iter(f"{space}text")]


def test_render_reports_on_a_recorded_run(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path_factory.mktemp("recorded")
    recorded = directory / "in.json"
    recorded.write_text(report.to_json(results(*RECORDED)))
    assert cli.main(["--render", str(recorded), "--output", str(directory / "out")]) == 0
    assert "0.600" in capsys.readouterr().out
    written = sorted(path.name for path in (directory / "out").iterdir())
    assert written == ["benchmark.json", "benchmark.svg", "benchmark.txt"]


def test_failed_requests_make_the_command_fail(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    recorded = tmp_path_factory.mktemp("recorded") / "in.json"
    broken = sample("ours", 0, 10.0, failures={"read": 1})
    recorded.write_text(report.to_json(results(broken)))
    assert cli.main(["--render", str(recorded)]) == 1


def test_command_line_takes_selections() -> None:
    options = cli.parser().parse_args(
        ["--quick", "--case", "get", "--case", "stream", "--server", "ours", "--interface", "wsgi"]
    )
    assert (options.quick, options.case, options.server) == (True, ["get", "stream"], ["ours"])
    assert (options.interface, options.profile, options.render) == (["wsgi"], False, None)


@pytest.mark.parametrize("option", ["--case", "--server", "--interface", "--reference"])
def test_command_line_refuses_unknown_names(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([option, "nonesuch"])
    assert caught.value.code == 2
    assert "nonesuch" in capsys.readouterr().err


def test_every_case_runs_our_server_and_a_peer_on_every_interface() -> None:
    groups = entries(CASES.values(), INTERFACES, SERVERS.values())
    assert len(groups) == sum(len(case.interfaces) for case in CASES.values())
    for group in groups:
        names = [entry.server.name for entry in group]
        peers = [name for name in names if not name.startswith("ours")]
        assert names[0] == "ours"
        # The Rust granian has no compression.
        deflate = group[0].case.websocket is not None and group[0].case.websocket.compressed
        assert deflate or peers[0] == "granian-rust"
        assert len({(entry.case.name, entry.interface) for entry in group}) == 1


def test_servers_take_part_in_what_they_carry() -> None:
    def servers(case: str) -> list[str]:
        (group,) = entries((CASES[case],), ("asgi",), SERVERS.values())
        return [entry.server.name for entry in group]

    ours = ["ours", "ours-pure"]
    assert servers("h2-get-8") == [*ours, "ours-reference", "granian-rust", "hypercorn"]
    assert servers("tls-get") == [*ours, "granian-rust", "hypercorn"]
    assert servers("static-1g") == [*ours, "granian-rust", "nginx"]


def test_our_server_is_measured_compiled_and_pure() -> None:
    compiled, pure = SERVERS["ours"], SERVERS["ours-pure"]
    assert (pure.environment.compiled, compiled.environment.fallback) == ((), "ours-pure")
    installed = (*compiled.environment.compiled, *compiled.environment.editable)
    assert installed == pure.environment.editable
    assert "compiled" in report.label("ours")
    assert "pure" in report.label("ours-pure")
    same = dataclasses.replace(
        pure,
        name=compiled.name,
        label=compiled.label,
        environment=compiled.environment,
    )
    assert same == compiled


def test_a_change_of_compiled_sources_makes_another_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    source = tmp_path / "package" / "src" / "module.py"
    source.parent.mkdir(parents=True)
    for name in ("pyproject.toml", "hatch_build.py", "src/module.py"):
        (tmp_path / "package" / name).write_text("")
    compiled = environments.Environment("it", compiled=("package[extra]",))
    editable = environments.Environment("it", editable=("package[extra]",))
    before = (compiled.key("python"), editable.key("python"))
    source.write_text("x = 1\n")

    assert compiled.key("python") != before[0]
    assert editable.key("python") == before[1]


def test_an_environment_that_does_not_compile_names_the_server_to_take_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def run(command: list[str], variables: dict[str, str] | None = None) -> str:
        if "pip" in command:
            asked.append(variables)
            raise BenchmarkError("no compiler")
        return ""

    monkeypatch.setattr(environments, "_run", run)
    for server, remedy in (("ours", "--server ours-pure"), ("ours-pure", None)):
        with pytest.raises(BenchmarkError, match="no compiler") as caught:
            environments.prepare(SERVERS[server].environment, tmp_path)
        assert ("--server" in str(caught.value)) == (remedy is not None)
        assert (remedy or "") in str(caught.value)
    assert asked == [{"GRANIAN_COMPILE": "1"}, {"GRANIAN_COMPILE": "0"}]


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("get", ()),
        ("h2-get-8", ()),
        ("tls-get", ("--ssl-certificate", "--ssl-keyfile")),
        ("static-50k", ("--static-path-route", "--static-path-mount")),
    ],
)
def test_a_case_adds_what_it_is_served_with(
    case: str, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.servers.material", lambda: Material(Path("/there")))
    server = SERVERS["ours"]
    plain = ["python", *server.arguments("asgi", 8000)]
    command = server.command("python", CASES[case], "asgi", 8000)
    assert command[: len(plain)] == plain
    assert tuple(command[len(plain) :: 2]) == options


def test_material_is_a_certificate_files_and_a_configuration() -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    made = material()
    ssl.create_default_context().load_cert_chain(made.certificate, made.key)
    assert {path.name: path.stat().st_size for path in made.static.iterdir()} == STATIC_FILES
    text = made.nginx_configuration("127.0.0.1", 8000).read_text()
    assert "listen 127.0.0.1:8000;" in text
    assert f"alias {made.static}/;" in text


H2LOAD = """
finished in 1.10s, 20120.00 req/s, 20.21MB/s
requests: 7 total, 9 started, 7 done, 4 succeeded, 2 failed, 1 errored, 0 timeout
"""


def test_h2load_result_is_read_from_its_text_and_its_log() -> None:
    found = parse_h2load(H2LOAD, "1795355336257154\t200\t300\n1\t200\t100\n2\t200\t200\n")
    assert (found.requests, found.seconds, found.p50_us, found.p99_us) == (4, 1.1, 200, 300)
    assert found.failures == {"failed": 2, "errored": 1}


def test_h2load_without_a_result_is_an_error_with_its_output() -> None:
    with pytest.raises(BenchmarkError, match="could not connect"):
        parse_h2load("could not connect", "")


def test_download_counts_what_comes_after_the_head() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"

    class Large(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            self.request.sendall(head + b"x" * 300_000)

    with socketserver.TCPServer(("127.0.0.1", 0), Large) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert download(server.server_address[1], "/") == 300_000
        thread.join()


def test_rates_of_large_downloads_keep_their_digits() -> None:
    assert [report.shown_rate(rate) for rate in (20_120.4, 0.274)] == ["20120", "0.27"]


def test_floor_takes_part_only_where_it_can_answer() -> None:
    groups = entries(CASES.values(), ("asgi",), (SERVERS["floor"],))
    assert [group[0].case.name for group in groups] == [
        name for name, case in CASES.items() if case.floor
    ]


def test_our_command_and_the_peer_of_the_same_name_get_the_same_arguments() -> None:
    for interface in INTERFACES:
        ours = SERVERS["ours"].arguments(interface, 8000)
        assert ours == SERVERS["granian-rust"].arguments(interface, 8000)
        assert ("--blocking-threads" in ours) == (interface == "wsgi")


def test_browser_case_sends_seven_headers_besides_host() -> None:
    request = request_bytes(CASES["get-browser"], 8000)
    lines = request.decode().split("\r\n")
    assert lines[0] == "GET / HTTP/1.1"
    assert lines[1] == "Host: 127.0.0.1:8000"
    assert len(lines) == 1 + 1 + 7 + 2


def test_echo_case_frames_its_body() -> None:
    head, _, body = request_bytes(CASES["post-echo"], 8000).partition(b"\r\n\r\n")
    assert b"\r\nContent-Length: 10240" in head
    assert len(body) == 10_240


def test_load_result_is_the_last_line_and_drops_kinds_that_did_not_occur() -> None:
    text = (
        "Running 1s test\n"
        '{"requests": 10, "seconds": 1.0, "p50_us": 5, "p99_us": 9, '
        '"failures": {"read": 0, "status": 2}}\n'
    )
    found = parse_result(text)
    assert (found.requests, found.p99_us, found.failures) == (10, 9, {"status": 2})


def test_load_without_a_result_is_an_error_with_its_output() -> None:
    with pytest.raises(BenchmarkError, match="unable to connect"):
        parse_result("unable to connect\n")


def test_check_answer_names_the_case_that_is_not_served() -> None:
    with pytest.raises(BenchmarkError, match="get-10k: ConnectionRefusedError"):
        check_answer(CASES["get-10k"], free_port())


def test_percentile_is_a_value_that_occurred() -> None:
    assert percentile([], 99.0) == 0.0
    assert percentile([1.0, 2.0, 3.0, 4.0], 50.0) == 3.0
    assert percentile([1.0, 2.0], 100.0) == 2.0


def test_process_tree_counts_cpu_of_this_process() -> None:
    before = read_tree(os.getpid())
    sum(range(2_000_000))
    after = read_tree(os.getpid())
    assert after.cpu_s > before.cpu_s
    assert os.getpid() in {process.pid for process in after.processes}


def test_open_loop_sends_what_is_due_and_counts_each_answer(constant_server: int) -> None:
    request = request_bytes(CASES["get"], constant_server)
    client = OpenLoop(constant_server, request, connections=2)
    try:
        assert client.run(rate=500.0, seconds=0.1) == 50
    finally:
        client.close()
    assert len(client.tally.latencies_s) == 50
    assert (client.tally.bad_status, client.tally.cut) == (0, 0)


def test_profile_counts_own_and_total_shares_without_line_numbers() -> None:
    found = profiling.summarise(
        [
            "thread (7): T;main (a.py:1);f (a.py:5) 3",
            "thread (7): T;main (a.py:2);f (a.py:6);f (a.py:7) 1",
            "thread (8): U;main (a.py:1) 4",
        ]
    )
    assert found.samples == 8
    shares = {cost.name: (cost.own, cost.total) for cost in found.functions}
    assert shares == {
        "thread T": (0.0, 0.5),
        "thread U": (0.0, 0.5),
        "main (a.py)": (0.5, 1.0),
        "f (a.py)": (0.5, 0.5),
    }
    assert "50.0%  100.0%  main (a.py)" in profiling.to_text(found, "title")


class _WebSocketServer(asyncio.Protocol):
    """Shakes hands with anybody, and sends each client frame to everyone, or back."""

    def __init__(self, everyone: list[asyncio.Transport], wrong: bytes) -> None:
        self._everyone = everyone
        self._wrong = wrong
        self._open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        if not self._open:
            self._open = True
            self._everyone.append(self._transport)
            self._transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x89\x00")
            self._path = data.split()[1]
            return
        self._buffer += data
        while len(self._buffer) >= 6:
            size = self._buffer[1] & 127
            frame, self._buffer = self._buffer[: 6 + size], self._buffer[6 + size :]
            if frame[0] & 15 == 2:
                key = frame[2:6] * (size // 4 + 1)
                payload = bytes(a ^ b for a, b in zip(frame[6:], key, strict=False))
                answer = bytes((0x82, size)) + (self._wrong or payload)
                to_all = self._path == b"/broadcast"
                for transport in self._everyone if to_all else [self._transport]:
                    transport.write(answer)


@pytest.mark.parametrize(
    ("load", "wrong"),
    [
        (WebSocketLoad(32), b""),
        (WebSocketLoad(32), b"x" * 32),
        (WebSocketLoad(32, clients=3, broadcast=True), b""),
    ],
    ids=["echo", "wrong", "broadcast"],
)
def test_websocket_client_counts_right_and_wrong_answers(load: WebSocketLoad, wrong: bytes) -> None:
    async def main() -> dict[str, Any]:
        everyone: list[asyncio.Transport] = []
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _WebSocketServer(everyone, wrong), "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            path = "/broadcast" if load.broadcast else "/echo"
            return await asyncio.wait_for(Load(load, path, 2).run(port, 0.3), 30)

    found = asyncio.run(main())
    assert found["requests"] > 0
    assert found["failures"] == ({"wrong answer": found["requests"]} if wrong else {})


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_client_frames_are_masked(size: int) -> None:
    payload = message(size)
    frame = masked_frame(2, payload)
    start = len(frame) - size
    key = frame[start - 4 : start] * (size // 4 + 1)
    assert len(payload) == size
    assert frame[1] & 0x80
    assert bytes(a ^ b for a, b in zip(frame[start:], key, strict=False)) == payload
