"""What the hooks let in. What is done with it, and who is genuine: ``tests/integration/sync/test_channels.py``."""

import json
from io import BytesIO

import pytest

from app.domain.errors import StoreUnavailable
from app.services.notifications import GraphNotification
from app.web.settings import MAX_BODY_BYTES
from tests.integration.web.conftest import PUBLIC_URL

GOOGLE = {
    "X-Goog-Channel-ID": "11111111-1111-4111-8111-111111111111",
    "X-Goog-Channel-Token": "channel-token",
    "X-Goog-Resource-ID": "resource",
    "X-Goog-Resource-State": "exists",
    "X-Goog-Message-Number": "10",
}

CHUNKED = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}


def google(client, **changes):
    headers = {name: value for name, value in {**GOOGLE, **changes}.items() if value is not None}
    return client.post("/hooks/google", base_url=PUBLIC_URL, headers=headers)


def microsoft(client, body, **more):
    data = body if isinstance(body, (str, bytes)) else json.dumps(body)
    more.setdefault("content_type", "application/json")
    return client.post("/hooks/microsoft", base_url=PUBLIC_URL, data=data, **more)


def validation(client, token):
    return client.post("/hooks/microsoft", base_url=PUBLIC_URL, query_string={"validationToken": token})


def test_a_google_notification_is_one_call(client, services):
    answer = google(client)

    assert answer.status_code == 204
    assert services.notifications.calls == [
        ("google", GOOGLE["X-Goog-Channel-ID"], "channel-token", "resource", 10, "exists")
    ]


def test_w01_a_google_notification_that_is_not_genuine_is_not_found(client, services):
    services.notifications.genuine = False

    assert google(client).status_code == 404


@pytest.mark.parametrize(
    "changes",
    [{"X-Goog-Channel-ID": None}, {"X-Goog-Channel-Token": None}, {"X-Goog-Channel-Token": "x" * 600}],
)
def test_w01_an_unreadable_google_notification_reaches_no_service(client, services, changes):
    assert google(client, **changes).status_code == 404
    assert services.notifications.calls == []


@pytest.mark.parametrize("number", [None, "", "-1", "ten", "9" * 30])
def test_w02_an_odd_message_number_does_not_matter(client, services, number):
    assert google(client, **{"X-Goog-Message-Number": number}).status_code == 204
    assert services.notifications.calls[0][4] is None


def test_w05_graph_notifications_are_taken_item_by_item(client, services):
    good = {"subscriptionId": "s1", "clientState": "c1", "resource": "Users/1/Events/2", "changeType": "updated"}
    lifecycle = {"subscriptionId": "s2", "clientState": "c2", "lifecycleEvent": "missed"}
    bad = [None, 1, [], {}, {"subscriptionId": "s3"}, {"subscriptionId": 4, "clientState": "c"}, {"clientState": "x"}]
    bad.append({"subscriptionId": "s", "clientState": "c" * 600})

    answer = microsoft(client, {"value": [good, *bad, lifecycle]})

    assert (answer.status_code, answer.get_data()) == (202, b"")
    assert services.notifications.calls == [
        ("graph", (GraphNotification("s1", "c1", None), GraphNotification("s2", "c2", "missed")))
    ]


@pytest.mark.parametrize("body", ["", "{", "[]", "1", '{"value": 1}', "{}", b"\xff\xfe", "[" * 100_000, "NaN"])
def test_garbage_is_refused_and_never_a_server_error(client, services, body):
    assert microsoft(client, body).status_code == 400
    assert services.notifications.calls == []


def test_w05_more_than_a_batch_can_have_is_refused(client, services):
    item = {"subscriptionId": "s1", "clientState": "c1"}

    assert microsoft(client, {"value": [item] * 1001}).status_code == 413
    assert microsoft(client, {"value": ["x" * MAX_BODY_BYTES]}).status_code == 413
    assert services.notifications.calls == []
    assert microsoft(client, {"value": [item] * 1000}).status_code == 202


@pytest.mark.parametrize(
    "more", [{"encryptedContent": {"data": "x"}}, {"encryptedContent": None}, {"validationTokens": ["x"]}]
)
def test_w06_notifications_with_resource_data_are_refused(client, services, more):
    """No subscription of ours asks for them, so nobody honest sends any."""
    plain = {"subscriptionId": "s1", "clientState": "c1"}
    batch = {"value": [plain], **more} if "validationTokens" in more else {"value": [plain, plain | more]}

    assert microsoft(client, batch).status_code == 202

    taken = [items for _, items in services.notifications.calls]
    assert taken == ([] if "validationTokens" in more else [(GraphNotification("s1", "c1", None),)])


def test_w07_what_a_notification_says_of_its_resource_is_not_read(client, services):
    """What to fetch comes from our own rows."""
    plain = {"subscriptionId": "s1", "clientState": "c1"}
    spoofed = plain | {"resource": "Users/other/Events/x", "resourceData": {"id": "../../me/messages", "@odata.id": 1}}

    assert microsoft(client, {"value": [spoofed]}).status_code == 202
    headers = {"X-Goog-Resource-URI": "https://elsewhere.example/calendar"}
    assert google(client, **headers).status_code == 204

    assert services.notifications.calls == [
        ("graph", (GraphNotification("s1", "c1", None),)),
        ("google", GOOGLE["X-Goog-Channel-ID"], "channel-token", "resource", 10, "exists"),
    ]


@pytest.mark.parametrize(("size", "status"), [(300_000, 413), (1000, 202)])
def test_w10_a_body_of_unannounced_length_is_never_taken_in_part(client, services, size, status):
    body = b'{"value": []}' + b" " * size

    answer = client.post(
        "/hooks/microsoft",
        base_url=PUBLIC_URL,
        input_stream=BytesIO(body),
        content_type="application/json",
        environ_overrides=CHUNKED,
    )

    assert answer.status_code == status


class Endless:
    """A body that never ends; counts what was read of it."""

    given = 0

    def read(self, size=-1):
        assert size > 0, "somebody wants all of it"
        self.given += size
        return b" " * size

    def readline(self, size=-1):
        return self.read(size)

    def tell(self):
        return 0

    def seek(self, *_):
        pass

    def close(self):
        pass


@pytest.mark.parametrize("path", ["google", "microsoft"])
def test_w10_a_body_without_end_is_read_to_the_cap_and_no_further(client, path):
    body = Endless()

    answer = client.post(
        f"/hooks/{path}",
        base_url=PUBLIC_URL,
        headers=GOOGLE,
        input_stream=body,
        content_type="application/json",
        environ_overrides=CHUNKED,
    )

    assert answer.status_code == 413
    assert body.given <= MAX_BODY_BYTES + 65_536


def test_w10_other_media_types_and_packed_bodies_are_refused(client):
    assert microsoft(client, "{}", content_type="text/plain").status_code == 415
    assert microsoft(client, "{}", headers={"Content-Encoding": "gzip"}).status_code == 415
    assert google(client, **{"Content-Encoding": "gzip"}).status_code == 415


@pytest.mark.parametrize(
    "token",
    [
        "Validation: Testing client application reachability",
        "<script>alert(1)</script>",
        "100%25 ü",
        "a\r\nSet-Cookie: x=1\r\n\r\n<html>",
    ],
)
def test_w03_the_validation_token_comes_back_as_plain_text_decoded_once(client, services, token):
    services.notifications.pending = True

    answer = validation(client, token)

    assert answer.status_code == 200
    assert answer.get_data(as_text=True) == token
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert "Set-Cookie" not in answer.headers


def test_w03_nobody_gets_an_echo_while_no_subscription_is_being_made(client):
    answer = validation(client, "anything")

    assert answer.status_code == 404
    assert b"anything" not in answer.get_data()


def test_w03_two_tokens_or_a_long_one_are_refused(client, services):
    services.notifications.pending = True

    assert validation(client, "x" * 1024).status_code == 200
    assert validation(client, "x" * 1025).status_code == 400
    assert validation(client, "x" * 1_000_000).status_code == 400
    assert validation(client, ["a", "b"]).status_code == 400


def test_w03_a_validation_with_a_body_is_only_a_validation(client, services):
    services.notifications.pending = True

    answer = microsoft(client, {"value": []}, query_string={"validationToken": "token"})

    assert answer.get_data() == b"token"
    assert [call[0] for call in services.notifications.calls] == ["expects_validation"]


@pytest.mark.parametrize("error", [StoreUnavailable(), RuntimeError("broken")])
def test_when_the_store_is_down_the_provider_is_asked_to_repeat(client, services, error):
    services.notifications.error = error

    assert google(client).status_code == 503
    assert microsoft(client, {"value": [{"subscriptionId": "s", "clientState": "c"}]}).status_code == 503
    assert validation(client, "token").status_code == 503


def test_hooks_take_posts_only(client):
    assert client.get("/hooks/google", base_url=PUBLIC_URL).status_code == 405
    assert client.get("/hooks/unknown", base_url=PUBLIC_URL).status_code == 404
