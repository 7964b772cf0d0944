"""What servers and clients share on disk: a certificate, and files to serve."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError

STATIC_FILES = {"50k.bin": 50 * 1024, "1g.bin": 1 << 30}
"""The files that are served, by name, and their lengths in octets."""

_NGINX = """\
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log stderr;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  open_file_cache max=64;
  client_body_temp_path {directory}/nginx-body;
  proxy_temp_path {directory}/nginx-proxy;
  fastcgi_temp_path {directory}/nginx-fastcgi;
  uwsgi_temp_path {directory}/nginx-uwsgi;
  scgi_temp_path {directory}/nginx-scgi;
  server {{
    listen {host}:{port};
    location /static/ {{ alias {static}/; }}
  }}
}}
"""


@dataclass(frozen=True)
class Material:
    """Where everything is; it goes with the process."""

    directory: Path

    @property
    def static(self) -> Path:
        """The directory that static-file servers serve."""
        return self.directory / "static"

    @property
    def certificate(self) -> Path:
        """A self-signed certificate (PEM)."""
        return self.directory / "certificate.pem"

    @property
    def key(self) -> Path:
        """Its private key (PEM, PKCS #8)."""
        return self.directory / "key.pem"

    def nginx_configuration(self, host: str, port: int) -> Path:
        """Write nginx's configuration, which its command line cannot give."""
        path = self.directory / "nginx.conf"
        path.write_text(
            _NGINX.format(directory=self.directory, static=self.static, host=host, port=port)
        )
        return path


_kept: list[tempfile.TemporaryDirectory[str]] = []


@functools.cache
def material() -> Material:
    """Make everything, once in a process.

    Raises:
        BenchmarkError: openssl is missing or failed.
    """
    directory = tempfile.TemporaryDirectory(prefix="benchmark-")
    _kept.append(directory)  # removed when the interpreter ends
    made = Material(Path(directory.name))
    made.directory.chmod(0o755)  # nginx may serve as another user
    made.static.mkdir()
    for name, octets in STATIC_FILES.items():
        with (made.static / name).open("wb") as file:
            file.truncate(octets)  # sparse: it is served from memory anyway
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec"]
    command += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-keyout", str(made.key), "-out", str(made.certificate)]
    try:
        subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        message = f"openssl made no certificate: {error}"
        raise BenchmarkError(message) from error
    return made
