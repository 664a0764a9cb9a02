"""Run the sandbox: `python -m app.sandbox --port 8766 --client google:ID:SECRET:REDIRECT`."""

import argparse
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from app.sandbox.application import sandbox_of
from app.sandbox.server import LOOPBACK, open_server
from app.sandbox.settings import PROVIDERS, ClientRegistration, Provider, SandboxSettings


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit status."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    server, app = open_server(_settings(options), port=options.port, host=options.host)
    state = sandbox_of(app)
    print(f"Sandbox (nothing here is real): {state.settings.base_url}", flush=True)  # noqa: T201 - for who starts it
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
        state.close()
    return 0


def client_of(text: str) -> ClientRegistration:
    """Read `provider:id:secret:redirect[,redirect...]`.

    Raises argparse.ArgumentTypeError.
    """
    parts = text.split(":", 3)
    if len(parts) != 4 or not all(parts):
        raise argparse.ArgumentTypeError("expected provider:id:secret:redirect")
    return ClientRegistration(_provider(parts[0]), parts[1], parts[2], tuple(parts[3].split(",")))


def _provider(text: str) -> Provider:
    for provider in PROVIDERS:
        if text == provider:
            return provider
    raise argparse.ArgumentTypeError(f"unknown provider: {text}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app.sandbox", description="Emulated identity and calendar providers."
    )
    parser.add_argument("--port", type=int, default=8766)
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on; keep it loopback")
    parser.add_argument("--base-url", default="", help="where browsers reach it; default: the bound address")
    parser.add_argument("--world", type=Path, default=None, help="directory with the people's calendars")
    parser.add_argument("--state", type=Path, default=None, help="file that keeps grants and edits over restarts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--access-token-lifetime", type=int, default=None, metavar="SECONDS")
    parser.add_argument("--no-push", action="store_true", help="deliver no notifications")
    parser.add_argument("--oidc-issuer", default="https://idp.sandbox.test")
    parser.add_argument("--client", type=client_of, action="append", default=[], metavar="PROVIDER:ID:SECRET:REDIRECT")
    parser.add_argument("--certificate", type=Path, default=None, help="PEM certificate of the Microsoft clients")
    return parser


def _settings(options: argparse.Namespace) -> SandboxSettings:
    return SandboxSettings(
        base_url=options.base_url.rstrip("/"),
        access_token_lifetime_s=options.access_token_lifetime,
        push_enabled=not options.no_push,
        world_dir=options.world,
        state_file=options.state,
        seed=options.seed,
        clients=_with_certificate(options.client, options.certificate),
        oidc_issuer=options.oidc_issuer.rstrip("/"),
    )


def _with_certificate(clients: list[ClientRegistration], path: Path | None) -> tuple[ClientRegistration, ...]:
    if path is None:
        return tuple(clients)
    pem = path.read_text(encoding="ascii")
    return tuple(replace(c, certificate_pem=pem) if c.provider == "microsoft" else c for c in clients)


def _stop(signal_number: int, frame: object) -> None:
    del signal_number, frame
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
