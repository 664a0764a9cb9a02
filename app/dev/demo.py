"""Configure Latchkey for the sandbox's providers, and tell a newcomer where to click."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from app.dev.settings import load_settings

# Clients of the sandbox's three providers: the name of the provider there, our client id, and our callback for it.
GOOGLE_CLIENT_ID = "latchkey-demo.apps.sandbox.test"
MICROSOFT_CLIENT_ID = "5f0c1c1e-7f5b-4b53-9a39-6d2a7f5b1e01"
OIDC_CLIENT_ID = "latchkey-demo"
OIDC_KEY = "acme"
OIDC_ISSUER = "https://idp.sandbox.test"
DEMO_SERVICE = "demo"
_CLIENTS = (
    ("google", GOOGLE_CLIENT_ID, "/callback/google"),
    ("microsoft", MICROSOFT_CLIENT_ID, "/callback/microsoft"),
    ("oidc", OIDC_CLIENT_ID, f"/callback/{OIDC_KEY}"),
)
_ROUTED = (
    "https://accounts.google.com",
    "https://oauth2.googleapis.com",
    "https://www.googleapis.com",
    "https://openidconnect.googleapis.com",
    "https://login.microsoftonline.com",
    "https://graph.microsoft.com",
)

_PROVIDERS_FILE = """\
# Written by `python3 dev.py run` for the sandbox; it is written anew at every start.
[providers.google]
kind = "google"
display_name = "Google"
client_id = "{google}"
client_secret = "{secret}"
authorization_endpoint = "{sandbox}/o/oauth2/v2/auth"
# The sandbox's tokens may live seconds; the default is made for an hour.
connection_calls_per_s = 5

[providers.microsoft]
kind = "microsoft"
display_name = "Microsoft 365"
client_id = "{microsoft}"
client_secret = "{secret}"
tenant = "common"
authorization_endpoint = "{sandbox}/common/oauth2/v2.0/authorize"
connection_calls_per_s = 5

[providers.{oidc_key}]
kind = "oidc"
display_name = "Acme"
issuer = "{issuer}"
client_id = "{oidc}"
client_secret = "{secret}"
authorization_endpoint = "{sandbox}/idp/authorize"

[routes]
"""


def sandbox_client_arguments(data_dir: Path, public_url: str) -> list[str]:
    """Return the command-line arguments that register Latchkey at the sandbox's providers."""
    secret = load_settings(data_dir).sandbox_client_secret
    return [
        part
        for provider, client_id, callback in _CLIENTS
        for part in ("--client", f"{provider}:{client_id}:{secret}:{public_url}{callback}")
    ]


def providers_file(secret: str, sandbox_url: str) -> str:
    """Return the providers file (TOML) for a sandbox at `sandbox_url`."""
    head = _PROVIDERS_FILE.format(
        google=GOOGLE_CLIENT_ID,
        microsoft=MICROSOFT_CLIENT_ID,
        oidc=OIDC_CLIENT_ID,
        oidc_key=OIDC_KEY,
        issuer=OIDC_ISSUER,
        secret=secret,
        sandbox=sandbox_url,
    )
    routes = dict.fromkeys(_ROUTED, sandbox_url) | {OIDC_ISSUER: f"{sandbox_url}/idp"}
    return head + "".join(f'"{origin}" = "{target}"\n' for origin, target in routes.items())


def write_demo_configuration(data_dir: Path, public_url: str, sandbox_url: str) -> dict[str, str]:  # noqa: ARG001 - the contract with `run`
    """Write what Latchkey needs to know about the sandbox below `data_dir`; return environment variables for it."""
    path = data_dir / "providers.toml"
    path.touch(mode=0o600)
    path.write_text(providers_file(load_settings(data_dir).sandbox_client_secret, sandbox_url), encoding="utf-8")
    return {
        "LATCHKEY_PROVIDERS_FILE": str(path),
        # Quick enough to watch: the defaults are made for real providers.
        "LATCHKEY_POLL_INTERVAL_S": "20",
        "LATCHKEY_CONFIRM_REFUSAL_AFTER_S": "5",
    }


def demo_service_secret(environment: Mapping[str, str]) -> str | None:
    """Return a secret of the demonstration service, made on first use and renewed at every start; None on failure."""
    for action in (("add", "--all-features", "--act-as"), ("rotate-secret",)):
        command = [sys.executable, "-m", "app.cli", "services", *action, DEMO_SERVICE]
        made = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
        if made.returncode == 0:
            return made.stdout.strip()
    return None


def demo_lines(public_url: str, sandbox_url: str | None, service_secret: str | None) -> list[str]:
    """Return what a newcomer reads once everything is up. `sandbox_url` None: no sandbox is running."""
    lines = [f"  1. Open     {public_url}   and sign in"]
    if sandbox_url:
        lines += [
            "  2. Connect  a sandbox Google and a sandbox Microsoft account; events appear within seconds",
            f"  3. Change   an event, or break a grant, at {sandbox_url}",
        ]
    if service_secret:
        lines += [
            "  4. Fetch    a provider access token as an internal service would:",
            "",
            *_curl(public_url, service_secret),
        ]
    return lines


def _curl(public_url: str, secret: str) -> list[str]:
    first = "import json,sys; c=json.load(sys.stdin)['connections']; print(c[0]['id'] if c else 'connect-one-first')"
    listing = f"curl -s -u {DEMO_SERVICE}:{secret} {public_url}/v1/connections?provider=google"
    return [
        f"curl -s -u {DEMO_SERVICE}:{secret} {public_url}/oauth2/token \\",
        "  -d grant_type=urn:ietf:params:oauth:grant-type:token-exchange \\",
        "  -d subject_token_type=urn:latchkey:params:oauth:token-type:connection -d purpose=demo \\",
        f'  -d subject_token=$({listing} | python3 -c "{first}")',
    ]
