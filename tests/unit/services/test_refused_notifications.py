from app.services.refused_notifications import SAY_EVERY_S, RefusedNotifications


def test_a_flood_of_refused_notifications_is_told_of_once_a_minute_with_their_number(caplog):
    now = [0.0]
    refused = RefusedNotifications(lambda: now[0])

    for _ in range(1000):
        refused.note("google")
    now[0] = SAY_EVERY_S
    refused.note("microsoft", 3)

    assert [record.args for record in caplog.records] == [(1, "google"), (1002, "microsoft")]
