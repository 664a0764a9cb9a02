"""Provider access tokens from Latchkey, for internal services.

Adapters live in modules of their own, so that nobody needs a package they do not use: `requests_auth`, `httpx_auth`,
`google_auth`, `azure_core`; and `private_key` for services that authenticate with one.
"""

from latchkey_client.async_client import AsyncLatchkeyClient
from latchkey_client.client import LatchkeyClient
from latchkey_client.credentials import ClientSecret, WorkloadTokenFile
from latchkey_client.errors import (
    InteractionRequired,
    InvalidClient,
    InvalidRequest,
    InvalidTarget,
    LatchkeyError,
    NotAllowed,
    ProtocolError,
    RateLimited,
    TemporarilyUnavailable,
)
from latchkey_client.explanations import Check, Explanation
from latchkey_client.tokens import Token, TokenRequest
from latchkey_client.users import Connection, Person, UserToken

__all__ = [
    "AsyncLatchkeyClient",
    "Check",
    "ClientSecret",
    "Connection",
    "Explanation",
    "InteractionRequired",
    "InvalidClient",
    "InvalidRequest",
    "InvalidTarget",
    "LatchkeyClient",
    "LatchkeyError",
    "NotAllowed",
    "Person",
    "ProtocolError",
    "RateLimited",
    "TemporarilyUnavailable",
    "Token",
    "TokenRequest",
    "UserToken",
    "WorkloadTokenFile",
]
