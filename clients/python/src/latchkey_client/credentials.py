"""Prove which service is calling, when the client asks Latchkey for a service token.

A credential proves itself once every few minutes only: the client exchanges it for a short-lived service token
(`client_credentials`, RFC 6749 section 4.4) and uses that. A shared secret travels rarely, a private key signs rarely,
no assertion is used twice, and JSON endpoints, which take no assertions, need no second way.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import quote_plus

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class Proof:
    """What one request carries to say who sends it."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    form: Mapping[str, str] = field(default_factory=dict, repr=False)


class ServiceCredential(Protocol):
    """Something a service can authenticate with."""

    def prove(self, issuer: str) -> Proof:
        """Return a fresh proof for the Latchkey that calls itself `issuer`. May read a file: raises OSError."""


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A shared secret, sent by HTTP Basic (RFC 6749 section 2.3.1)."""

    client_id: str
    secret: str = field(repr=False)

    def prove(self, issuer: str) -> Proof:  # noqa: ARG002 - a secret is the same for everybody it is sent to
        """Return the header; both parts are form-encoded first, as the section asks."""
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.secret)}"
        return Proof(headers={"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()})


@dataclass(frozen=True, slots=True)
class WorkloadTokenFile:
    """A token the platform gives this workload, such as a Kubernetes projected service-account token.

    The file is read for every proof: platforms replace it while the program runs.
    """

    path: Path | str
    client_id: str | None = None
    """Name of the service; null when the token alone tells Latchkey."""

    def prove(self, issuer: str) -> Proof:  # noqa: ARG002 - the platform has bound the token to its audience
        """Return the file's token as a client assertion (RFC 7523 section 2.2)."""
        return assertion_proof(Path(self.path).read_text(encoding="ascii").strip(), self.client_id)


def assertion_proof(assertion: str, client_id: str | None) -> Proof:
    """Return a JWT as a client assertion; `client_id` null leaves that parameter out."""
    named = {} if client_id is None else {"client_id": client_id}
    return Proof(form={"client_assertion_type": _ASSERTION_TYPE, "client_assertion": assertion, **named})
