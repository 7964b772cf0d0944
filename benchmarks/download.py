"""Download one large body again and again, as quickly as it can be thrown away.

wrk parses what it reads in pieces of 8 KiB, which would measure wrk. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import socket
import time

from benchmarks.servers import HOST

_TIMEOUT_S = 20.0
_BUFFER = 1 << 20


def download(port: int, path: str) -> int:
    """Download *path* on a connection of its own.

    Returns:
        The octets after the head: the body, and the frames of chunks if there are any.
    """
    view = memoryview(bytearray(_BUFFER))
    with socket.create_connection((HOST, port), _TIMEOUT_S) as client:
        request = f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n"
        client.sendall(request.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(4096)
            if not data:
                return 0
            head += data
        count = len(head.partition(b"\r\n\r\n")[2])
        while size := client.recv_into(view):
            count += size
    return count


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--octets", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    start = time.monotonic()
    taken: list[float] = []
    cut = 0
    while not taken or time.monotonic() - start < options.seconds:
        begun = time.monotonic()
        cut += download(options.port, options.path) < options.octets
        taken.append(time.monotonic() - begun)
    taken.sort()
    result = {
        "requests": len(taken),
        "seconds": time.monotonic() - start,
        "p50_us": taken[len(taken) // 2] * 1e6,
        "p99_us": taken[-1] * 1e6,
        "failures": {"cut": cut},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
