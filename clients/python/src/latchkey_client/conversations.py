"""The conversations a client has with Latchkey: get a service token, exchange it for a provider token, ask why not.

What may be tried again is tried again until the deadline: 429 and 503 after the `Retry-After` they name, and failed
connections, as an exchange can be repeated without harm. Nothing else is.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode

from latchkey_client.answers import ServiceToken, error_of, service_token_of, token_of
from latchkey_client.cache import TokenCache
from latchkey_client.credentials import ServiceCredential
from latchkey_client.deadlines import Deadline
from latchkey_client.explanations import Explanation, explanation_of
from latchkey_client.tokens import Token, TokenRequest
from latchkey_client.wire import NO_ANSWER, Answer, Call, Conversation, Pause, ServiceTokenWanted

TOKEN_PATH = "/oauth2/token"
EXPLAIN_PATH = "/v1/tokens/explain"
_TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_JSON = {"Content-Type": "application/json", "Accept": "application/json"}
_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0


def get_service_token(credential: ServiceCredential, issuer: str, deadline: Deadline) -> Conversation[ServiceToken]:
    """Exchange the service's credential for a service token."""

    def call() -> Call:
        # Made anew for every attempt: an assertion is good for one use.
        proof = credential.prove(issuer)
        return _form_call({"grant_type": "client_credentials", **proof.form}, proof.headers)

    return service_token_of((yield from _persist(call, deadline)))


def get_token(
    request: TokenRequest, min_validity_s: int | None, cache: TokenCache, deadline: Deadline
) -> Conversation[Token]:
    """Exchange the service token for a provider token that no provider has rejected, and remember it.

    `min_validity_s` null leaves that to Latchkey.
    """
    rejected = cache.rejected_sha256(request)
    token = yield from _exchange(request, min_validity_s, rejected, deadline)
    if cache.is_rejected(token):
        # It was rejected when it had come for another request.
        token = yield from _exchange(request, min_validity_s, token.sha256(), deadline)
    cache.put(token)
    return token


def _exchange(
    request: TokenRequest, min_validity_s: int | None, rejected_sha256: str | None, deadline: Deadline
) -> Conversation[Token]:
    wanted = {
        "grant_type": _TOKEN_EXCHANGE,
        "subject_token": request.user.subject_token,
        "subject_token_type": request.user.subject_token_type,
        "audience": request.provider,
        "features": " ".join(request.features),
        "purpose": request.purpose,
        "account": request.account,
        "min_validity": None if min_validity_s is None else str(min_validity_s),
        "rejected_token_sha256": rejected_sha256,
    }
    form = {name: value for name, value in wanted.items() if value}
    answer = yield from _authorized(lambda headers: _form_call(form, headers), deadline)
    return token_of(answer, request, datetime.now(UTC))


def ask_why(request: TokenRequest, min_validity_s: int | None, deadline: Deadline) -> Conversation[Explanation]:
    """Ask what an exchange would meet."""
    wanted = {
        request.user.json_name: request.user.subject_token,
        "provider": request.provider,
        "features": request.features,
        "purpose": request.purpose,
        "account": request.account,
        "min_validity": min_validity_s,
    }
    content = json.dumps({name: value for name, value in wanted.items() if value is not None}).encode()
    answer = yield from _authorized(lambda headers: Call(EXPLAIN_PATH, {**_JSON, **headers}, content), deadline)
    return explanation_of(answer)


def _authorized(call: Callable[[Mapping[str, str]], Call], deadline: Deadline) -> Conversation[Answer]:
    """Make a call with the service token; once more with a new one when the first is not accepted any more."""
    token = yield from _service_token(None)
    answer = yield from _persist(lambda: call(_bearer(token)), deadline)
    if answer.status == 401:
        token = yield from _service_token(token)
        answer = yield from _persist(lambda: call(_bearer(token)), deadline)
    return answer


def _persist(call: Callable[[], Call], deadline: Deadline) -> Conversation[Answer]:
    """Make a call until its answer is one to keep. Raises `LatchkeyError` when the deadline leaves no time to wait."""
    pause_s = _FIRST_PAUSE_S
    while True:
        answer = yield call()
        if not isinstance(answer, Answer):
            raise TypeError("a call is answered with an Answer")
        wait_s = answer.retry_after_s() if answer.status in {429, 503} else None
        if answer is NO_ANSWER:
            # Spread, so that many programs do not come back to a restarted Latchkey in step.
            wait_s = pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret depends on it
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        if wait_s is None:
            return answer
        if wait_s >= deadline.left_s():
            raise error_of(answer)
        yield Pause(wait_s)


def _service_token(instead_of: str | None) -> Conversation[str]:
    token = yield ServiceTokenWanted(instead_of)
    if not isinstance(token, str):
        raise TypeError("a wish for a service token is answered with its text")
    return token


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _form_call(form: Mapping[str, str], headers: Mapping[str, str]) -> Call:
    return Call(TOKEN_PATH, {**_FORM, **headers}, urlencode(form).encode())
