"""The spool: what was appended is drained once it can be, in order, whatever becomes of its writer."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from app.domain.audit import line_of
from app.domain.errors import StoreUnavailable
from app.store.spool import FileSpool, SpoolLimits
from tests.integration.audit.conftest import an_entry

ROOT = Path(__file__).resolve().parents[3]


class Taken(list[str]):
    """Collects lines; refuses while ``error`` is set."""

    error: Exception | None = None

    def __call__(self, lines: list[str]) -> None:
        if self.error is not None:
            raise self.error
        self.extend(lines)

    def ids(self) -> list[UUID]:
        return [UUID(line.partition("\t")[0]) for line in self]


@pytest.fixture
def taken() -> Taken:
    return Taken()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "audit"


@pytest.fixture
def spools(directory: Path):
    """Return a function that opens the directory anew, as another process would: locks are its own."""
    opened = []

    def open_one(**limits: int) -> FileSpool:
        opened.append(FileSpool(directory, SpoolLimits(**limits)))
        return opened[-1]

    yield open_one
    for spool in opened:
        spool.close()


Spools = Callable[..., FileSpool]


def test_lines_are_drained_once_and_in_order(spools: Spools, taken: Taken) -> None:
    spool, entries = spools(), [an_entry() for _ in range(5)]
    for entry in entries[:3]:
        spool.append(entry)
    spool.drain(taken)
    for entry in entries[3:]:
        spool.append(entry)

    spool.drain(taken)
    spool.drain(taken)

    assert taken == [line_of(entry) for entry in entries]


def test_what_was_refused_comes_again(spools: Spools, taken: Taken) -> None:
    spool, entry = spools(), an_entry()
    spool.append(entry)
    taken.error = StoreUnavailable()
    with pytest.raises(StoreUnavailable):
        spool.drain(taken)
    taken.error = None

    spool.drain(taken)

    assert taken.ids() == [entry.id]


def test_only_its_user_can_read_the_files(spools: Spools, directory: Path) -> None:
    spools().append(an_entry())

    [file] = directory.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700


def test_a_line_holds_what_a_database_can_hold(spools: Spools, taken: Taken) -> None:
    spool = spools()

    spool.append(an_entry(detail={"purpose": "a\0b\ud800c\nd\te", "scopes": ["\U0001f600", "\\u0000"]}))
    spool.drain(taken)

    assert taken[0].endswith(r'{"purpose":"ab\ufffdc\nd\te","scopes":["\ud83d\ude00","\\u0000"]}')


def test_an_entry_of_a_megabyte_is_refused(spools: Spools) -> None:
    with pytest.raises(StoreUnavailable):
        spools().append(an_entry(detail={"purpose": "x" * (1 << 20)}))


def test_a_backlog_has_an_end_and_is_over_when_it_is_drained(spools: Spools, taken: Taken) -> None:
    spool = spools(backlog_bytes=2000)
    with pytest.raises(StoreUnavailable):
        any(spool.append(an_entry()) for _ in range(100))

    spool.drain(taken)

    assert 0 < len(taken) < 20
    spool.append(an_entry())


def test_a_full_file_makes_room_for_the_next_and_goes(spools: Spools, taken: Taken, directory: Path) -> None:
    spool = spools(file_bytes=1000)
    ids = []
    for _ in range(10):
        for entry in [an_entry() for _ in range(7)]:
            spool.append(entry)
            ids.append(entry.id)
        spool.drain(taken)

    assert taken.ids() == ids
    assert len(list(directory.iterdir())) == 0
    spool.append(an_entry())
    assert len(list(directory.iterdir())) == 1


def test_threads_lose_nothing_while_files_come_and_go(spools: Spools, taken: Taken) -> None:
    spool = spools(file_bytes=5000)
    written: list[UUID] = []
    is_over = threading.Event()

    def write() -> None:
        for entry in [an_entry() for _ in range(300)]:
            spool.append(entry)
            written.append(entry.id)

    def drain() -> None:
        while not is_over.is_set():
            spool.drain(taken)

    writers, drainer = [threading.Thread(target=write) for _ in range(8)], threading.Thread(target=drain)
    for thread in (drainer, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    is_over.set()
    drainer.join()
    spool.drain(taken)

    assert len(written) == 2400
    assert len(taken) == 2400
    assert set(taken.ids()) == set(written)


def test_a_living_writers_file_is_left_alone_and_an_ended_ones_is_adopted(
    spools: Spools, taken: Taken, directory: Path
) -> None:
    writer, entry = spools(), an_entry()
    writer.append(entry)
    spools().adopt(taken)
    assert taken == []

    writer.close()
    spools().adopt(taken)

    assert taken.ids() == [entry.id]
    assert list(directory.iterdir()) == []


def test_a_refused_adoption_can_be_repeated(spools: Spools, taken: Taken) -> None:
    writer, entry = spools(), an_entry()
    writer.append(entry)
    writer.close()
    taken.error = StoreUnavailable()
    with pytest.raises(StoreUnavailable):
        spools().adopt(taken)
    taken.error = None

    spools().adopt(taken)

    assert taken.ids() == [entry.id]


@pytest.mark.parametrize(
    "damage",
    [
        "\n{cut}",
        "\n{cut}\n",
        "\n\0\0\0\0\0\0\0\0\n",
        "\n{line_with_bad_detail}\n",
    ],
)  # fmt: skip
def test_what_is_not_whole_is_dropped_and_told(
    spools: Spools, taken: Taken, directory: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    writer, entry, other = spools(), an_entry(), line_of(an_entry())
    writer.append(entry)
    writer.close()
    [file] = directory.iterdir()
    with file.open("a") as end:
        end.write(damage.format(line=other, cut=other[:-9], line_with_bad_detail=other.replace('":', '"')))

    spools().adopt(taken)

    assert taken.ids() == [entry.id]
    assert list(directory.iterdir()) == []
    assert re.search(r"1 incomplete lines dropped", caplog.text)


def test_an_empty_file_of_a_process_that_came_no_further_goes(spools: Spools, taken: Taken, directory: Path) -> None:
    directory.mkdir()
    (directory / "1-aa.spool").touch()

    spools().adopt(taken)

    assert taken == []
    assert list(directory.iterdir()) == []


def test_a_file_somebody_deletes_is_drained_all_the_same_and_replaced(
    spools: Spools, taken: Taken, directory: Path
) -> None:
    spool, entries = spools(), [an_entry(), an_entry()]
    spool.append(entries[0])
    for file in directory.iterdir():
        file.unlink()

    spool.drain(taken)
    spool.append(entries[1])

    assert len(list(directory.iterdir())) == 1
    spool.drain(taken)
    assert taken.ids() == [entry.id for entry in entries]


def test_a_directory_that_cannot_be_is_one_typed_error(tmp_path: Path, taken: Taken) -> None:
    (tmp_path / "file").touch()
    spool = FileSpool(tmp_path / "file" / "audit")

    with pytest.raises(StoreUnavailable, match="ENOTDIR"):
        spool.append(an_entry())


def run(script: str, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=60, cwd=ROOT
    ).stdout


FULL_DISK = """
import resource, sys
from pathlib import Path
from app.domain.errors import StoreUnavailable
from app.store.spool import FileSpool
from tests.integration.audit.conftest import an_entry

spool = FileSpool(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
outcomes = []
for round in range(12):
    if round == 8:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    # Wherever it is cut, it ends as a whole one does.
    entry = an_entry(detail={"purpose": "}" * 200})
    try:
        spool.append(entry)
        print(entry.id)
    except StoreUnavailable as error:
        print(error, file=sys.stderr)
        outcomes.append(error)
assert len(outcomes) >= 2, outcomes
drained = []
if sys.argv[2] == "drain":
    spool.drain(drained.extend)
print("--", *drained, sep="\\n")
"""


@pytest.mark.parametrize("who", ["drain", "adopt"])
def test_a_full_disk_refuses_entries_and_spoils_none_before_or_after(
    spools: Spools, taken: Taken, directory: Path, who: str
) -> None:
    accepted, _, drained = run(FULL_DISK, str(directory), who).partition("--\n")

    if who == "adopt":
        spools().adopt(taken)
    else:
        taken.extend(drained.splitlines())

    assert taken.ids() == [UUID(line) for line in accepted.split()]
    assert len(taken) >= 6
    assert all(json.loads(line.rpartition("\t")[2]) for line in taken)


FORK = """
import os, sys
from pathlib import Path
from app.store.spool import FileSpool
from tests.integration.audit.conftest import an_entry

spool, entries = FileSpool(Path(sys.argv[1])), [an_entry(), an_entry(), an_entry()]
spool.append(entries[0])
child = os.fork()
if child == 0:
    spool.append(entries[1])
    spool.drain(lambda lines: print(*lines, sep="\\n", flush=True))
    os._exit(0)
os.waitpid(child, 0)
spool.append(entries[2])
print("--", *[entry.id.hex for entry in entries], "--", flush=True)
spool.drain(lambda lines: print(*lines, sep="\\n"))
"""


def test_a_child_has_a_file_of_its_own(directory: Path) -> None:
    child, ids, parent = run(FORK, str(directory)).split("--")

    first, second, third = ids.split()
    assert [line.partition("\t")[0] for line in child.split("\n") if line] == [second]
    assert [line.partition("\t")[0] for line in parent.split("\n") if line] == [first, third]
    assert len(list(directory.iterdir())) == 2
