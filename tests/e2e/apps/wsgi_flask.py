"""The common routes (see `wsgi_parts`) in Flask; ``validated`` is under wsgiref's validator."""

from __future__ import annotations

from wsgiref.validate import validator

from flask import Flask, Response, redirect, request, send_file
from werkzeug.wrappers import Response as BaseResponse

from tests.e2e.apps.wsgi_parts import (
    Departure,
    Failure,
    digest,
    file_path,
    forever,
    parts,
    zeros,
)

app = Flask(__name__)
# With a limit, Werkzeug reads with sizes, as the validator wants it to be done.
app.config["MAX_CONTENT_LENGTH"] = 1 << 30
departure = Departure()


def text(content: str) -> Response:
    return Response(content, mimetype="text/plain")


@app.get("/")
def hello() -> Response:
    return text("hello")


@app.post("/echo")
def echo() -> Response:
    kind = request.content_type or "application/octet-stream"
    return Response(request.get_data(), content_type=kind)


@app.post("/upload")
def upload() -> Response:
    return text(digest(request.stream.read))


@app.post("/form")
def form() -> Response:
    return text(digest(request.files["file"].stream.read))


@app.get("/stream")
def stream() -> Response:
    return Response(parts(), mimetype="text/plain")


@app.get("/large")
def large() -> Response:
    return Response(zeros(), mimetype="application/octet-stream")


@app.get("/file")
def file() -> BaseResponse:
    return send_file(file_path(), mimetype="application/octet-stream")


@app.get("/cookies")
def cookies() -> Response:
    response = text(repr(sorted(request.cookies.items())))
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", httponly=True)
    return response


@app.get("/redirect")
def redirected() -> BaseResponse:
    return redirect("/")


@app.get("/error")
def error() -> Response:
    raise Failure("on purpose")


@app.get("/forever")
def endless() -> Response:
    return Response(forever(departure), mimetype="text/plain")


@app.get("/gone")
def gone() -> Response:
    return text(departure.wait())


@app.get("/environ")
def environ() -> Response:
    return text(f"{request.remote_addr} {request.scheme} {request.root_path!r} {request.path!r}")


validated = validator(app)
