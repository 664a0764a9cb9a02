"""A process that writes hand-outs and says the id of each on standard output once ``write`` has returned.

Arguments: database address, spool directory, key ring file, how many entries.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from app.crypto.keyring import Keyring
from app.crypto.sealing import build_sealer
from app.services.audit_chain import AuditChain
from app.services.hand_out_log import HandOutLog
from app.store.postgres import PostgresStore
from app.store.spool import FileSpool
from tests.integration.audit.conftest import a_hand_out


def main(database_url: str, directory: str, keyring_file: str, count: str) -> None:
    chain = AuditChain(PostgresStore(database_url), build_sealer(Keyring.load(Path(keyring_file))))
    log = HandOutLog(FileSpool(Path(directory)), chain)
    for _ in range(int(count)):
        entry = a_hand_out(at=datetime.now(UTC))
        log.write(entry)
        os.write(1, f"{entry.id}\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
