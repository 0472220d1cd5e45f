"""Notes over HTTP: a Flask application as one would write it for production.

GET /notes lists them, POST /notes adds one, GET /healthz tells that all is well.
"""

import os
import signal
import sys

from flask import Flask, abort, jsonify, request
from waitress import serve

MOST_NOTES = 1_000
MOST_BYTES = 10_000

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
notes: list[str] = []


@app.get("/")
def index() -> str:
    return "<!doctype html><title>Notes</title><p>POST a text to /notes"


@app.get("/healthz")
def healthz() -> str:
    return "ok\n"


@app.get("/notes")
def listed():
    return jsonify(notes=notes)


@app.post("/notes")
def add():
    text = request.get_data(as_text=True).strip()
    if not text:
        abort(400, "an empty note")
    if len(notes) >= MOST_NOTES:
        abort(507, "no room for another note")
    notes.append(text)
    return jsonify(number=len(notes)), 201


def end(_number, _frame) -> None:
    # The first process of a container gets only signals that it handles.
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    serve(app, host="0.0.0.0", port=int(os.environ.get("PORT", "8080")), threads=4)
