"""Nothing that looks like a credential reaches a log line."""

import json
import logging

import pytest

from app.logs import configure_logs, redact, redact_text

MARK = "planted-marker-value"


@pytest.mark.parametrize(
    "text",
    [
        f"GET /callback/google?state=abc&code={MARK}&scope=x",
        f"Authorization: Bearer {MARK}",
        f"authorization: basic {MARK}",
        f"ya29.{MARK}",
        f"1//0{MARK}",
        f"client_secret={MARK}",
        f"validationToken={MARK}",
    ],
)
def test_credentials_inside_text_are_redacted(text: str) -> None:
    assert MARK not in redact_text(text)


@pytest.mark.parametrize(
    "name", ["access_token", "refresh_token", "client_secret", "password", "code", "state", "nonce"]
)
def test_fields_with_telling_names_are_redacted(name: str) -> None:
    assert redact(None, "info", {name: MARK}) == {name: "[redacted]"}


def fail_with(local_value: str) -> None:
    raise RuntimeError("access_token=" + local_value)


def test_a_logged_exception_shows_places_and_no_values(capfd: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers, root.level
    try:
        configure_logs("DEBUG")
        try:
            fail_with(MARK)
        except RuntimeError:
            logging.getLogger("test").exception("it failed")
        written = capfd.readouterr().err
    finally:
        root.handlers, root.level = before

    line = json.loads(written.strip().splitlines()[-1])
    assert MARK not in written
    assert line["error_type"] == "RuntimeError"
    assert line["frames"]
