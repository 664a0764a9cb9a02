import json
from io import BytesIO

import pytest

from app.domain.errors import StoreUnavailable
from app.services.notifications import GraphNotification
from tests.integration.web.conftest import PUBLIC_URL

GOOGLE = {
    "X-Goog-Channel-ID": "11111111-1111-4111-8111-111111111111",
    "X-Goog-Channel-Token": "channel-token",
    "X-Goog-Resource-ID": "resource",
    "X-Goog-Resource-State": "exists",
    "X-Goog-Message-Number": "10",
}


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


def test_a_google_notification_that_is_not_genuine_is_not_found(client, services):
    services.notifications.genuine = False

    assert google(client).status_code == 404


@pytest.mark.parametrize(
    "changes",
    [{"X-Goog-Channel-ID": None}, {"X-Goog-Channel-Token": None}, {"X-Goog-Channel-Token": "x" * 600}],
)
def test_an_unreadable_google_notification_reaches_no_service(client, services, changes):
    assert google(client, **changes).status_code == 404
    assert services.notifications.calls == []


@pytest.mark.parametrize("number", [None, "", "-1", "ten", "9" * 30])
def test_an_odd_message_number_does_not_matter(client, services, number):
    assert google(client, **{"X-Goog-Message-Number": number}).status_code == 204
    assert services.notifications.calls[0][4] is None


def test_graph_notifications_are_taken_item_by_item(client, services):
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


def test_too_much_is_refused(client):
    assert microsoft(client, {"value": [{}] * 1001}).status_code == 413
    assert microsoft(client, {"value": ["x" * 300_000]}).status_code == 413


@pytest.mark.parametrize(("size", "status"), [(300_000, 413), (1000, 202)])
def test_a_body_of_unannounced_length_is_never_taken_in_part(client, services, size, status):
    body = b'{"value": []}' + b" " * size

    answer = client.post(
        "/hooks/microsoft",
        base_url=PUBLIC_URL,
        input_stream=BytesIO(body),
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True},
    )

    assert answer.status_code == status


def test_other_media_types_and_packed_bodies_are_refused(client):
    assert microsoft(client, "{}", content_type="text/plain").status_code == 415
    assert microsoft(client, "{}", headers={"Content-Encoding": "gzip"}).status_code == 415
    assert google(client, **{"Content-Encoding": "gzip"}).status_code == 415


@pytest.mark.parametrize(
    "token", ["Validation: Testing client application reachability", "<script>alert(1)</script>", "100%25 ü"]
)
def test_the_validation_token_comes_back_as_plain_text_decoded_once(client, services, token):
    services.notifications.pending = True

    answer = validation(client, token)

    assert answer.status_code == 200
    assert answer.get_data(as_text=True) == token
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_nobody_gets_an_echo_while_no_subscription_is_being_made(client):
    answer = validation(client, "anything")

    assert answer.status_code == 404
    assert b"anything" not in answer.get_data()


def test_a_validation_with_two_tokens_or_a_long_one_is_refused(client, services):
    services.notifications.pending = True

    assert validation(client, "x" * 1025).status_code == 400
    assert validation(client, ["a", "b"]).status_code == 400


def test_a_validation_with_a_body_is_only_a_validation(client, services):
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
