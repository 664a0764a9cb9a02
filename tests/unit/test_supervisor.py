"""The supervisor with real, small child processes."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.dev.output import Console, LineReader
from app.dev.procfile import ProcessType, ProcfileError, read_procfile
from app.dev.supervisor import ChildDiedError, NotReadyError, Stage, StopRequested, Supervisor, Watched

ROOT = Path(__file__).resolve().parents[2]
ENV = dict(os.environ)
# Says when it is up and when it stops; $0 is its name.
POLITE = """sh -c 'trap "echo $0 stops; exit 0" TERM; echo $0 is up; while :; do sleep 0.05; done' {name}"""
STUBBORN = """sh -c 'trap "" TERM; echo $0 is up; while :; do sleep 0.05; done' {name}"""


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def supervisor(stream):
    with Supervisor(Console(stream)) as supervisor:
        yield supervisor


def wait_for(supervisor: Supervisor, condition: Callable[[], bool]) -> None:
    supervisor.watch_until(condition, what="the condition", within_s=20)


def is_running(number: int) -> bool:
    """Say whether the process exists and is not just waiting to be reaped by whoever inherited it."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_each_line_carries_the_name_of_its_process(supervisor, stream):
    status = supervisor.run_to_end("greeter", "printf 'one\\ntwo\\nrest'", env=ENV)

    assert status == 0
    assert stream.getvalue().splitlines() == ["greeter   | one", "greeter   | two", "greeter   | rest"]


def test_the_status_of_a_finished_command_is_returned(supervisor):
    assert supervisor.run_to_end("migrate", "sh -c 'exit 7'", env=ENV) == 7


def test_processes_stop_stage_by_stage(supervisor, stream):
    for name, stage in (("outside", Stage.OUTSIDE), ("worker", Stage.WORKER), ("web", Stage.ENTRANCE)):
        supervisor.start(name, POLITE.format(name=name), env=ENV, stage=stage)
    wait_for(supervisor, lambda: stream.getvalue().count("is up") == 3)

    supervisor.stop()

    stopped = [line.split("|")[1].strip() for line in stream.getvalue().splitlines() if line.endswith("stops")]
    assert stopped == ["web stops", "worker stops", "outside stops"]


def test_a_process_that_will_not_stop_is_killed_after_its_grace(supervisor, stream):
    supervisor.start("worker", STUBBORN.format(name="worker"), env=ENV, stage=Stage.WORKER, grace_s=0.2)
    wait_for(supervisor, lambda: "is up" in stream.getvalue())

    supervisor.stop()

    assert "worker did not stop in time and is killed" in stream.getvalue()


def test_an_unexpected_death_names_the_culprit(supervisor, stream):
    supervisor.start("web", POLITE.format(name="web"), env=ENV, stage=Stage.ENTRANCE)
    supervisor.start("worker", "sh -c 'sleep 0.2; exit 3'", env=ENV, stage=Stage.WORKER)

    with pytest.raises(ChildDiedError, match=r"worker ended unexpectedly \(exit status 3\)"):
        supervisor.watch_on()


def test_a_killed_process_is_named_with_its_signal(supervisor, stream):
    supervisor.start("worker", "sh -c 'kill -9 $$'", env=ENV, stage=Stage.WORKER)

    with pytest.raises(ChildDiedError, match=r"worker ended unexpectedly \(signal SIGKILL\)"):
        supervisor.watch_on()


def test_what_a_dead_process_leaves_behind_is_ended(supervisor, stream):
    supervisor.start("web", "sh -c 'sleep 60 & echo child $!; exit 1'", env=ENV, stage=Stage.ENTRANCE)

    with pytest.raises(ChildDiedError):
        supervisor.watch_on()

    supervisor.stop()
    left_behind = int(stream.getvalue().partition("child ")[2].split()[0])
    deadline = time.monotonic() + 10
    while is_running(left_behind):
        assert time.monotonic() < deadline, "the child of the dead process lives on"
        time.sleep(0.02)


def test_a_signal_asks_for_the_end(supervisor, stream):
    supervisor.start("web", POLITE.format(name="web"), env=ENV, stage=Stage.ENTRANCE)
    wait_for(supervisor, lambda: "is up" in stream.getvalue())

    os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StopRequested):
        supervisor.watch_on()


def test_a_second_signal_cuts_the_grace_short(supervisor, stream):
    supervisor.start("worker", STUBBORN.format(name="worker"), env=ENV, stage=Stage.WORKER, grace_s=60)
    wait_for(supervisor, lambda: "is up" in stream.getvalue())
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)

    started = time.monotonic()
    supervisor.stop()

    assert time.monotonic() - started < 30


def test_waiting_ends_when_nothing_becomes_ready(supervisor):
    with pytest.raises(NotReadyError, match="the web was not ready after 0 s"):
        supervisor.watch_until(lambda: False, what="the web", within_s=0.1)


def test_a_server_of_somebody_else_is_stopped_by_its_own_signal(supervisor, stream):
    script = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, lambda *_: sys.exit(5))\n"
        "print('up', flush=True)\n"
        "signal.pause()\n"
    )
    output = supervisor.channel("postgres")
    process = subprocess.Popen([sys.executable, "-c", script], stdout=output)
    os.close(output)
    supervisor.watch(Watched("postgres", process, Stage.DATABASE, signal.SIGINT))
    wait_for(supervisor, lambda: "up" in stream.getvalue())

    supervisor.stop()

    assert process.returncode == 5


def test_children_end_with_a_supervisor_that_is_killed(tmp_path):
    script = (
        "import os, sys\n"
        "from app.dev.output import Console\n"
        "from app.dev.supervisor import Stage, Supervisor\n"
        "with Supervisor(Console(sys.stdout)) as supervisor:\n"
        "    supervisor.start('web', \"sh -c 'echo pid $$; while :; do sleep 0.05; done'\","
        " env=os.environ, stage=Stage.ENTRANCE)\n"
        "    supervisor.watch_on()\n"
    )
    parent = subprocess.Popen([sys.executable, "-u", "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with parent:
        child = int(parent.stdout.readline().partition("pid ")[2])
        parent.kill()

    deadline = time.monotonic() + 10
    while is_running(child):
        assert time.monotonic() < deadline, "the child outlived its supervisor"
        time.sleep(0.02)


def test_a_reader_that_has_gone_is_a_wish_to_stop():
    class GoneReader(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    with Supervisor(Console(GoneReader())) as supervisor, pytest.raises(StopRequested):
        supervisor.run_to_end("web", "sh -c 'echo hello; sleep 30'", env=ENV)


def test_a_line_without_an_end_is_shown_before_it_fills_the_memory():
    reading, writing = os.pipe()
    reader = LineReader(reading)
    os.write(writing, b"x" * 65536)

    lines, is_open = reader.read()

    assert ([len(line) for line in lines], is_open) == ([65536], True)
    os.close(writing)
    reader.close()


def test_the_procfile_is_read_in_order(tmp_path):
    (tmp_path / "Procfile").write_text("# comment\n\nweb: run --port ${PORT:-8080}\nworker-2: work\n")

    assert list(read_procfile(tmp_path / "Procfile").values()) == [
        ProcessType("web", "run --port ${PORT:-8080}"),
        ProcessType("worker-2", "work"),
    ]


@pytest.mark.parametrize(("text", "message"), [("web run", "line 1"), ("web: a\nweb: b", "line 2 names web again")])
def test_a_bad_line_of_the_procfile_is_named(tmp_path, text, message):
    (tmp_path / "Procfile").write_text(text)

    with pytest.raises(ProcfileError, match=message):
        read_procfile(tmp_path / "Procfile")
