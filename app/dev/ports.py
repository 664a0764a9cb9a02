"""Find TCP ports on this machine for the web and the sandbox."""

import errno
import socket
from collections.abc import Sequence


class PortTakenError(RuntimeError):
    """The port that was asked for is in use; the message names it."""


def choose_port(wanted: int | None, preferred: Sequence[int | None]) -> int:
    """Return `wanted`, or the first free one of `preferred`, or any free port.

    Raises PortTakenError when `wanted` is given and in use: a person who names a port has a reason.
    """
    if wanted is not None:
        if not is_free(wanted):
            raise PortTakenError(f"port {wanted} is in use; name another one, or none to have one found")
        return wanted
    free = (port for port in preferred if port is not None and is_free(port))
    return next(free, None) or _any_free()


def is_free(port: int) -> bool:
    """Say whether nobody listens on `port`, neither on 127.0.0.1 nor on ::1, which browsers try first for localhost."""
    return _can_bind(socket.AF_INET, "127.0.0.1", port) and _can_bind(socket.AF_INET6, "::1", port)


def _can_bind(family: socket.AddressFamily, host: str, port: int) -> bool:
    try:
        probe = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        # The machine does not speak this family, so nobody listens there.
        return True
    with probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno == errno.EADDRNOTAVAIL
    return True


def _any_free() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
