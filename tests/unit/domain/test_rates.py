from uuid import UUID, uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.rates import MOST_BUCKETS, SUBJECTS_AT_ONCE, HandOutRates, TokenBuckets
from app.domain.subjects import Subject, SubjectMode

A_SERVICE, ANOTHER = UUID(int=1), UUID(int=2)


class Watch:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_the_rest_waits_as_long_as_it_takes() -> None:
    watch = Watch()
    buckets = TokenBuckets(2.0, 3.0, watch)

    assert [buckets.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    watch.now += 0.5
    assert buckets.take("a") == 0.0
    assert buckets.take("a") == 0.5


def test_one_key_does_not_cost_another() -> None:
    buckets = TokenBuckets(1.0, 1.0, Watch())

    assert buckets.take("a") == 0.0
    assert buckets.take("a") > 0.0
    assert buckets.take("b") == 0.0


def test_looking_takes_nothing() -> None:
    buckets = TokenBuckets(1.0, 1.0, Watch())

    assert [buckets.wait_s("a") for _ in range(3)] == [0.0] * 3
    buckets.take("a")
    assert [buckets.wait_s("a") for _ in range(3)] == [1.0] * 3


def test_memory_is_bounded() -> None:
    buckets = TokenBuckets(1.0, 1.0, Watch())

    for n in range(MOST_BUCKETS * 2 + 1):
        buckets.take(n)

    assert 0 < len(buckets) <= MOST_BUCKETS


def test_what_is_put_back_can_be_taken_again() -> None:
    buckets = TokenBuckets(1.0, 2.0, Watch())
    for _ in range(2):
        buckets.take("a")

    buckets.put_back("a")

    assert [buckets.take("a") for _ in range(2)] == [0.0, 1.0]
    for _ in range(2):
        buckets.put_back("a")
    assert len(buckets) == 0


def person() -> Subject:
    return Subject(SubjectMode.ABSENT, person_id=uuid4())


def test_walking_through_ids_is_bounded_and_leaves_other_services_alone() -> None:
    subjects = TokenBuckets(1.0, 3.0, Watch())
    rates = HandOutRates(subjects)

    waits = [rates.take(A_SERVICE, person()) for _ in range(1000)]

    assert waits.count(0.0) == 3 * SUBJECTS_AT_ONCE
    assert rates.wait_s(A_SERVICE, person()) > 0.0
    # Ids that were refused leave nothing behind: they would push out the buckets of others.
    assert len(subjects) == 3 * SUBJECTS_AT_ONCE
    assert rates.take(ANOTHER, person()) == 0.0


def test_a_loop_over_one_subject_leaves_the_others_to_its_service() -> None:
    rates, one = HandOutRates(TokenBuckets(1.0, 3.0, Watch())), person()

    waits = [rates.take(A_SERVICE, one) for _ in range(1000)]

    assert waits.count(0.0) == 3
    assert rates.wait_s(A_SERVICE, one) > 0.0
    assert rates.take(A_SERVICE, person()) == 0.0


def test_people_who_were_never_here_share_no_small_bucket() -> None:
    rates, stranger = HandOutRates(TokenBuckets(1.0, 3.0, Watch())), Subject(SubjectMode.PRESENT)

    waits = [rates.take(A_SERVICE, stranger) for _ in range(1000)]

    assert waits.count(0.0) == 3 * SUBJECTS_AT_ONCE
    assert rates.wait_s(A_SERVICE, stranger) > 0.0


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.floats(0, 5), max_size=60), st.floats(0.5, 20), st.integers(1, 20))
def test_never_more_than_burst_and_rate_together(pauses, per_s, burst) -> None:
    watch = Watch()
    buckets, passed = TokenBuckets(per_s, burst, watch), 0

    for pause in pauses:
        watch.now += pause
        passed += buckets.take("a") == 0.0

    assert passed <= burst + per_s * sum(pauses) + 1e-6
