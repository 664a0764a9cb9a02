"""The yardstick: a Flask application with one route that answers a JSON of a token answer's size."""

from __future__ import annotations

from flask import Flask, Response, jsonify

TOKEN = "t" * 1200


def application() -> Flask:
    """Return the application; the server's settings are those of the Procfile."""
    app = Flask(__name__)

    @app.post("/oauth2/token")
    def token() -> Response:
        return jsonify(access_token=TOKEN, token_type="Bearer", expires_in=3000)  # not a password

    return app
