"""Rain on calendars: after every shower and a sync, what is stored equals the sandbox's own expansion."""

from app.domain.errors import CursorExpired
from app.sandbox.calendar.chaos import ALL_KINDS, Place, Rain, Weather
from app.sandbox.calendar.state import side_of
from tests.integration.sync.compare import judged_occurrences, stored_occurrences, window_of

SEED = 1


def test_what_is_stored_follows_every_kind_of_edit(mailbox):
    house, side = mailbox.house, side_of(mailbox.house.running.app)
    desks = [mailbox.new_calendar(), mailbox.new_calendar()]
    places = tuple(Place(mailbox.provider, mailbox.account, desk.provider_id) for desk in desks)
    rain = Rain(side.sandbox, side.world, Weather(places, 20, 60, SEED, ALL_KINDS))

    for shower in range(5):
        with side.sandbox.lock:
            made = [rain.step() for _ in range(30)]
        if shower == 3:
            house.sandbox.control("/expire_sync_tokens", provider=mailbox.provider, account=mailbox.account)
        for desk in desks:
            sync(mailbox, desk)
            low, high = window_of(mailbox, desk)
            there = judged_occurrences(house, mailbox.provider, mailbox.account, desk.provider_id, low, high)
            here = stored_occurrences(mailbox, desk, low, high)
            only_here, only_there = sorted(here - there), sorted(there - here)
            assert here == there, f"after {made}: only here {only_here[:4]}; only there {only_there[:4]}"

    assert len(rain.counts) > len(ALL_KINDS) // 2


def sync(mailbox, desk):
    try:
        mailbox.sync(desk)
    except CursorExpired:
        mailbox.sync(desk)
