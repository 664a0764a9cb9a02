"""Walk the sandbox's flows from outside: TLS, routes from real origins, and decisions without a browser."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

import requests
import trustme
from requests.adapters import HTTPAdapter

from app.sandbox.server import RunningSandbox, serve
from app.sandbox.settings import ClientRegistration, SandboxSettings

CALLBACKS = {
    "google": "http://localhost:8000/callback/google",
    "microsoft": "http://localhost:8000/callback/microsoft",
    "oidc": "http://localhost:8000/callback/acme",
}
CLIENT_IDS = {
    "google": "latchkey.apps.example.com",
    "microsoft": "0b7a3f4e-1c5d-4c7c-9a58-6f2f8f0f5c11",
    "oidc": "latchkey",
}
SECRETS = {provider: f"secret-of-{provider}" for provider in CALLBACKS}
REAL_ORIGINS = (
    "https://accounts.google.com",
    "https://oauth2.googleapis.com",
    "https://www.googleapis.com",
    "https://openidconnect.googleapis.com",
    "https://login.microsoftonline.com",
    "https://graph.microsoft.com",
)
ISSUER = "https://idp.sandbox.test"
VERIFIER = "a-verifier-that-is-long-enough-for-rfc-7636-1234567890"
CHALLENGE = "DUseQB7hmOimGkuvmwVyUk5lY3nlAXSF-PrvkRK95sc"


class RoutedAdapter(HTTPAdapter):
    """Send requests for a real origin to the sandbox, keeping path and query."""

    def __init__(self, target: str):
        super().__init__()
        self._target = target

    def send(self, request, *args, **kwargs):
        parts = urlsplit(request.url)
        request.url = f"{self._target}{parts.path}" + (f"?{parts.query}" if parts.query else "")
        return super().send(request, *args, **kwargs)


def clients(certificate_pem=None, oidc_redirect=CALLBACKS["oidc"]):
    return tuple(
        ClientRegistration(
            provider,
            CLIENT_IDS[provider],
            SECRETS[provider],
            (oidc_redirect if provider == "oidc" else CALLBACKS[provider],),
            certificate_pem if provider == "microsoft" else None,
        )
        for provider in ("google", "microsoft", "oidc")
    )


def route(session, base_url, verify):
    """Send a session's requests for the providers to the sandbox."""
    session.trust_env = False
    session.verify = verify
    for origin in REAL_ORIGINS:
        session.mount(origin, RoutedAdapter(base_url))
    session.mount(ISSUER, RoutedAdapter(f"{base_url}/idp"))
    return session


@contextmanager
def tls_sandbox(certificate_pem=None) -> Iterator[tuple[RunningSandbox, str]]:
    """Serve a sandbox over TLS; yield it with the path of its authority's certificate."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    settings = SandboxSettings(base_url="", clients=clients(certificate_pem))
    with authority.cert_pem.tempfile() as ca_path, serve(settings, ssl_context=context) as running:
        yield running, ca_path


@dataclass
class Walker:
    """Speak to one sandbox as a client of all its providers."""

    base_url: str

    def __post_init__(self):
        self.http = requests.Session()
        self.http.trust_env = False

    def authorization_url(self, provider, scope, tenant="organizations", **extra):
        paths = {
            "google": "/o/oauth2/v2/auth",
            "microsoft": f"/{tenant}/oauth2/v2.0/authorize",
            "oidc": "/idp/authorize",
        }
        parameters = {
            "client_id": CLIENT_IDS[provider],
            "redirect_uri": CALLBACKS[provider],
            "response_type": "code",
            "scope": scope,
            "state": "the-state",
        }
        if provider == "google":
            parameters["access_type"] = "offline"
        if provider == "oidc":
            parameters |= {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
        return f"{self.base_url}{paths[provider]}?{urlencode(parameters | extra)}"

    def approve(self, url, account, **decision):
        """Return the parameters of the callback."""
        answer = self.control("approve", {"url": url, "account": account, **decision})
        assert answer.status_code == 200, answer.text
        return flat(answer.json()["location"])

    def control(self, path, body):
        return self.http.post(f"{self.base_url}/_control/{path}", json=body, timeout=10)

    def token(self, provider, tenant="organizations", **form):
        paths = {"google": "/token", "microsoft": f"/{tenant}/oauth2/v2.0/token", "oidc": "/idp/token"}
        credentials = {"client_id": CLIENT_IDS[provider], "client_secret": SECRETS[provider]}
        return self.http.post(f"{self.base_url}{paths[provider]}", data=credentials | form, timeout=10)

    def exchange(self, provider, code, **form):
        if provider == "oidc":
            form.setdefault("code_verifier", VERIFIER)
        form.setdefault("redirect_uri", CALLBACKS[provider])
        return self.token(provider, grant_type="authorization_code", code=code, **form)

    def refresh(self, provider, refresh_token, **form):
        return self.token(provider, grant_type="refresh_token", refresh_token=refresh_token, **form)

    def connect(self, provider, account, scope, **extra):
        """Return the token answer of a whole authorization code flow."""
        callback = self.approve(self.authorization_url(provider, scope, **extra), account)
        answer = self.exchange(provider, callback["code"])
        assert answer.status_code == 200, answer.text
        return answer.json()


def flat(location):
    """Return the query parameters of an address, the last of each name."""
    return {name: values[-1] for name, values in parse_qs(urlsplit(location).query).items()}
