"""Flask: ``granian --interface wsgi --working-dir examples flask_app:app``."""

from __future__ import annotations

from flask import Flask, request

app = Flask(__name__)


@app.route("/", methods=["GET", "POST"])
def hello() -> bytes | str:
    """Say hello, or send a posted body back."""
    return request.get_data() if request.method == "POST" else "Hello from Flask\n"
