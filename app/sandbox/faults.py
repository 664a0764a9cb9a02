"""Let a route meet the scripted faults, and count its calls.

`@with_faults("google.events")` goes directly above the view function, below the route decorator. Senders of push
messages ask `state.faults.take("push.google", account_key)` themselves.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import ParamSpec

from flask import Response, g, make_response, request
from flask.typing import ResponseReturnValue

from app.sandbox.fault_answers import api_error, scripted_answer
from app.sandbox.fault_plan import Fault, FaultKind
from app.sandbox.grants import digest_of
from app.sandbox.state import Sandbox, current_sandbox
from app.sandbox.throttling import GOOGLE_CALENDAR, MAILBOX, OUTLOOK, Refusal
from app.sandbox.token_ledger import TokenCall
from app.sandbox.tokens import grant_of_request, subject_of_request

__all__ = ["AT_END", "Fault", "FaultKind", "dropped", "meets", "overfull", "with_faults"]

P = ParamSpec("P")
View = Callable[P, ResponseReturnValue]

AT_END = "sandbox.at_end"
"""Where a request's environment keeps what is to be called when its last byte is out, or its client gone."""

GARBAGE = b'<!-- \x00\xff upstream connect error -->{"unfinished": '
AFTER_WORK = {FaultKind.HOLD, FaultKind.DRIP, FaultKind.TRUNCATE, FaultKind.GARBAGE, FaultKind.LOSE_ANSWER}


def with_faults(operation: str) -> Callable[[View[P]], View[P]]:
    """Return a decorator that applies the faults scripted for `operation` to a view."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def faulty(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
            state = current_sandbox()
            account, family = subject_of_request(state, request)
            g.operation, g.account = operation, account
            with (
                state.request_log.in_flight(operation, family or account),
                _written_down(state, operation, family),
                _admitted(state, operation) as refusal,
            ):
                if refusal is not None:
                    return _refused(refusal, operation)
                fault = state.faults.take(operation, account)
                g.fault = fault
                answer = make_response(_meet(state, fault, operation, lambda: view(*args, **kwargs)))
                return _ended_with(state, answer)

        return faulty

    return decorate


def meets(kind: FaultKind) -> bool:
    """Tell whether the fault of the current request is of a kind that the route itself acts on."""
    fault: Fault | None = g.get("fault")
    return fault is not None and fault.kind is kind


def overfull(size: int) -> int:
    """Return how many items a page gets that should have `size`."""
    return 2 * size if meets(FaultKind.OVERFULL) else size


@contextmanager
def _admitted(state: Sandbox, operation: str) -> Iterator[Refusal | None]:
    """Count the call for its mailbox; yield a refusal when there are too many."""
    grant = grant_of_request(state, request) if operation in OUTLOOK | GOOGLE_CALENDAR else None
    with ExitStack() as stack:
        if operation in OUTLOOK:
            stack.enter_context(state.request_log.in_flight(MAILBOX, g.account))
        now = state.clock.now()
        yield stack.enter_context(state.throttle.admitted(operation, grant, state.runtime, now))


@contextmanager
def _written_down(state: Sandbox, operation: str, family: str | None) -> Iterator[None]:
    """Enter a token call into the ledger; a view that raises has no answer whose end could be waited for."""
    if not operation.endswith(".token"):
        yield
        return
    sent = request.form.get("refresh_token")
    call = state.token_ledger.begin(operation, g.account, family, digest_of(sent) if sent else None)
    g.token_call = call
    try:
        yield
    except BaseException:
        state.token_ledger.end(call, 500)
        raise


def _ended_with(state: Sandbox, answer: Response) -> Response:
    """Close the ledger's entry of this token call when the last byte is out, which may be long after the view."""
    call: TokenCall | None = g.get("token_call")
    if call is not None:
        status = 0 if g.get("is_dropped") else answer.status_code
        request.environ[AT_END] = lambda: state.token_ledger.end(call, status)
        answer.call_on_close(request.environ[AT_END])
    return answer


def _meet(
    state: Sandbox, fault: Fault | None, operation: str, work: Callable[[], ResponseReturnValue]
) -> ResponseReturnValue:
    if fault is None:
        return work()
    if fault.kind is FaultKind.HANG:
        state.faults.hang(fault.seconds)
        return work()
    if fault.kind is FaultKind.RESET:
        return dropped()
    if fault.kind in AFTER_WORK:
        return _spoilt(fault, make_response(work()))
    answer = scripted_answer(fault, operation)
    return work() if answer is None else answer


def _spoilt(fault: Fault, answer: Response) -> Response:
    body = answer.get_data()
    if fault.kind is FaultKind.LOSE_ANSWER:
        return dropped()
    if fault.kind is FaultKind.HOLD:
        time.sleep(fault.seconds)
        return answer
    if fault.kind is FaultKind.GARBAGE:
        return Response(GARBAGE, 200, {"Content-Type": "text/html"})
    if fault.kind is FaultKind.TRUNCATE:
        return _streamed(answer, _half(body), len(body))
    return _streamed(answer, _slowly(body, fault.seconds), len(body))


def _refused(refusal: Refusal, operation: str) -> Response:
    answer = api_error(refusal.status, operation, refusal.reason, refusal.message)
    if refusal.retry_after is not None:
        answer.headers["Retry-After"] = refusal.retry_after
    return answer


def dropped() -> Response:
    """Return an answer that is never sent: the connection is closed instead."""
    g.is_dropped = True
    return Response(_NoAnswer(), 200)


def _streamed(answer: Response, chunks: Iterator[bytes], length: int) -> Response:
    answer.response = chunks
    answer.headers["Content-Length"] = str(length)
    return answer


class _NoAnswer(Iterator[bytes]):
    """A body that ends before the head is sent."""

    def __next__(self) -> bytes:
        # The server takes a ConnectionError for the client's leaving and closes without a byte of the head.
        raise ConnectionAbortedError("dropped on purpose")


def _half(body: bytes) -> Iterator[bytes]:
    yield body[: len(body) // 2]
    raise ConnectionAbortedError("truncated on purpose")


def _slowly(body: bytes, seconds: float) -> Iterator[bytes]:
    pause_s = seconds / max(len(body), 1)
    for index in range(len(body)):
        time.sleep(pause_s)
        yield body[index : index + 1]
