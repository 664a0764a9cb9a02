"""No network inside a transaction."""

import threading

import pytest

from app.guard import NetworkInsideTransaction, refuse_inside_transaction, transaction


def test_the_flag_is_up_inside_and_down_afterwards() -> None:
    with transaction(), pytest.raises(NetworkInsideTransaction):
        refuse_inside_transaction()
    refuse_inside_transaction()


def test_the_flag_falls_when_the_transaction_fails() -> None:
    with pytest.raises(ZeroDivisionError), transaction():
        _ = 1 / 0
    refuse_inside_transaction()


def test_another_thread_is_not_concerned() -> None:
    outcome: list[str] = []

    def send() -> None:
        refuse_inside_transaction()
        outcome.append("sent")

    with transaction():
        thread = threading.Thread(target=send)
        thread.start()
        thread.join()

    assert outcome == ["sent"]
