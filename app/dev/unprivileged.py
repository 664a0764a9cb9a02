"""Choose how PostgreSQL, which refuses to run as root, is started by root."""

import os
import pwd
import sys
from pathlib import Path

from app.dev.children import Unprivileged, run
from app.dev.server_process import EmbeddedServerError


def way_out_of_root() -> Unprivileged | None:
    """Return how a child of ours can stop being root; None when we are an ordinary user already.

    Tries a user namespace first, as then every file stays root's. Raises EmbeddedServerError when neither way is open.
    """
    if os.geteuid() != 0:
        return None
    reasons = []
    # A program that does nothing shows whether the kernel allows the way.
    for way in Unprivileged if sys.platform == "linux" else ():
        trial = run(["true"], unprivileged=way)
        if trial.returncode == 0:
            return way
        reasons.append(f"{way.value}: {trial.stdout.strip()}")
    raise EmbeddedServerError(
        "PostgreSQL refuses to run as root, and this machine allows no way around it "
        f"({'; '.join(reasons) or 'only Linux has one'}). Run as an ordinary user, or set DATABASE_URL."
    )


def hand_over(directory: Path, way: Unprivileged | None) -> None:
    """Give `directory` and all below it to the user the server runs as; do nothing when it is so already.

    Raises EmbeddedServerError when it belongs to a third user, whose next start would fail if it were taken away.
    """
    wanted = pwd.getpwnam("nobody") if way is Unprivileged.NOBODY else pwd.getpwuid(os.geteuid())
    owner = directory.stat().st_uid
    if owner == wanted.pw_uid:
        return
    if os.geteuid() != 0 or owner not in (0, pwd.getpwnam("nobody").pw_uid):
        raise EmbeddedServerError(f"{directory} belongs to user {owner}; start as that user or remove it")
    for path in (directory, *directory.rglob("*")):
        os.chown(path, wanted.pw_uid, wanted.pw_gid, follow_symlinks=False)
