"""Signed tokens as other programs make them, with PyJWT, and an issuer that publishes its keys over HTTPS."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import threading
import uuid
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm


class Signer:
    """A key pair of one algorithm."""

    def __init__(self, algorithm="ES256", kid="k1"):
        self.algorithm, self.kid = algorithm, kid
        self.key = {
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
        }.get(algorithm, lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048))()

    def jwk(self, **members):
        kind = {"ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}.get(self.algorithm, RSAAlgorithm)
        return {**kind.to_jwk(self.key.public_key(), as_dict=True), "kid": self.kid, **members}

    def pem(self):
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()

    def private_pem(self):
        form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, form, none).decode()

    def sign(self, claims, **header):
        """Return a token; a header set to null is left out (``typ`` is ``JWT`` unless it says otherwise)."""
        headers = {"kid": self.kid, **header}
        if headers["kid"] is None:
            del headers["kid"]
        return jwt.encode(claims, self.key, self.algorithm, headers)


def statement(name, audience, now, **changes):
    """Return the claims of a client assertion; a change to ``...`` leaves the claim out."""
    at = int(now.timestamp())
    claims = {"iss": name, "sub": name, "aud": audience, "iat": at, "exp": at + 55, "jti": uuid.uuid4().hex}
    return {key: value for key, value in (claims | changes).items() if value is not ...}


def unsigned(claims):
    """Return a token that says it needs no signature."""
    return f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(claims)}."


def signed_with_public_key(claims, signer):
    """Return a token whose HMAC key is the public key: what a verifier that trusts ``alg`` would accept."""
    signed = f"{_part({'alg': 'HS256', 'typ': 'JWT', 'kid': signer.kid})}.{_part(claims)}"
    return f"{signed}.{_text(hmac.digest(signer.pem().encode(), signed.encode(), hashlib.sha256))}"


def accepted(refusal, attempts):
    """Return the names of the attempts that did not end in ``refusal``; ``attempts`` maps names to calls."""
    passed = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except refusal:
            continue
        passed.append(name)
    return passed


def _part(members):
    return _text(json.dumps(members).encode())


def _text(body):
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


class PublishedKeys:
    """What an issuer serves; a test may change it while it is being served."""

    def __init__(self, *signers):
        self.signers = list(signers)
        self.address = ""
        self.requests = []

    def document(self, path):
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.address, "jwks_uri": f"{self.address}/keys"}
        return {"keys": [signer.jwk(use="sig") for signer in self.signers]}


@contextmanager
def published(directory, *signers):
    """Serve keys and discovery on localhost over HTTPS; yields the keys and the file of the authority's certificate."""
    keys, authority = PublishedKeys(*signers), trustme.CA()
    bundle = directory / "issuer-ca.pem"
    authority.cert_pem.write_to_path(str(bundle))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            keys.requests.append(self.path)
            body = json.dumps(keys.document(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    keys.address = f"https://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield keys, bundle
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
