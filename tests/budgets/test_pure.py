"""Windows, amounts, terms and weights: what they promise, for all of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick._budgets._amounts import NANO, Metric, shown, units
from tallystick._budgets._rules import (
    Figures,
    Part,
    State,
    Weight,
    actually,
    allowed,
    fits,
    parts_of,
    weigh,
    written,
)
from tallystick._budgets._terms import declared, terms_from
from tallystick._budgets._windows import CALENDAR, PIECES, Window
from tallystick.errors import InvalidCall

SECOND = 1_000_000
#: with summer time, with half an hour of it, without any, far from Greenwich, odd minutes
ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata",
    "Pacific/Apia", "America/St_Johns", "Africa/Casablanca", "Asia/Kathmandu",
)  # fmt: skip
#: when clocks are turned: (zone, moment in UTC)
TURNS = (
    ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
)


def micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def moment(at: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)


moments = st.integers(
    micros(datetime(2015, 1, 1, tzinfo=UTC)), micros(datetime(2090, 1, 1, tzinfo=UTC))
)


def _near(turn: tuple[str, datetime], sevenths: int) -> tuple[str, int]:
    return turn[0], micros(turn[1]) + sevenths * SECOND // 7


around_turns = st.builds(
    _near, st.sampled_from(TURNS), st.integers(-3 * 86_400 * 7, 3 * 86_400 * 7)
)
places = st.one_of(st.tuples(st.sampled_from(ZONES), moments), around_turns)
kinds = st.sampled_from(CALENDAR)
lengths = st.integers(1, 3660 * 86_400)


# -- windows -------------------------------------------------------------------------------------


@given(kinds, places)
def test_every_moment_lies_in_exactly_one_calendar_window(
    kind: str, place: tuple[str, int]
) -> None:
    """From where it starts, to where the next one does; all moments between have the same row."""
    zone, now = place
    window = Window(kind=kind, zone=zone)  # type: ignore[arg-type]
    start, end = window.start(now), window.ends(now)
    assert end is not None
    assert start <= now < end
    assert window.since(now) == start
    for inside in (start, now, end - 1, (start + end) // 2):
        assert (window.start(inside), window.ends(inside)) == (start, end)
    assert window.start(end) == end
    assert window.start(start - 1) < start


@pytest.mark.parametrize("kind", CALENDAR)
@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_windows_follow_each_other_without_a_gap(kind: str, turn: tuple[str, datetime]) -> None:
    """Every ten minutes around a turn of the clocks, also where half an hour comes twice."""
    zone, turned = turn
    window = Window(kind=kind, zone=zone)  # type: ignore[arg-type]
    before = None
    for n in range(-6 * 30, 6 * 30):
        now = micros(turned) + n * 600 * SECOND
        start, end = window.start(now), window.ends(now)
        assert end is not None
        assert start <= now < end
        assert before is None or (start, end) == before or start == before[1]
        before = (start, end)


@given(kinds, places)
def test_a_calendar_window_begins_when_the_clock_on_the_wall_says_so(
    kind: str, place: tuple[str, int]
) -> None:
    zone, now = place
    start = moment(Window(kind=kind, zone=zone).start(now)).astimezone(ZoneInfo(zone))  # type: ignore[arg-type]
    here = moment(now).astimezone(ZoneInfo(zone))
    assert (start.second, start.microsecond) == (0, 0)
    if kind == "hour":
        assert (start.date(), start.hour) == (here.date(), here.hour)
    elif kind == "day":
        assert start.date() == here.date()
    elif kind == "week":
        assert (start.weekday(), start.isocalendar()[:2]) == (0, here.isocalendar()[:2])
    else:
        assert (start.day, start.month, start.year) == (1, here.month, here.year)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", datetime(2026, 3, 29, 12, tzinfo=UTC), 23),
        ("Europe/Berlin", datetime(2026, 10, 25, 12, tzinfo=UTC), 25),
        ("Europe/Berlin", datetime(2026, 6, 1, 12, tzinfo=UTC), 24),
        ("America/New_York", datetime(2026, 3, 8, 18, tzinfo=UTC), 23),
        ("America/New_York", datetime(2026, 11, 1, 18, tzinfo=UTC), 25),
        ("Australia/Lord_Howe", datetime(2026, 4, 5, 6, tzinfo=UTC), 24.5),
        ("Australia/Lord_Howe", datetime(2026, 10, 4, 6, tzinfo=UTC), 23.5),
    ],
)
def test_a_day_on_which_clocks_are_turned_has_its_hours(
    zone: str, day: datetime, hours: float
) -> None:
    window = Window(kind="day", zone=zone)
    end = window.ends(micros(day))
    assert end is not None
    assert end - window.start(micros(day)) == hours * 3600 * SECOND


@pytest.mark.parametrize(
    ("year", "month", "days"), [(2026, 2, 28), (2028, 2, 29), (2026, 1, 31), (2026, 4, 30)]
)
def test_a_month_has_its_days(year: int, month: int, days: int) -> None:
    window = Window(kind="month", zone="Asia/Kolkata")
    now = micros(datetime(year, month, 15, tzinfo=UTC))
    end = window.ends(now)
    assert end is not None
    assert end - window.start(now) == days * 86_400 * SECOND


@given(lengths, moments, st.data())
def test_a_rolling_window_never_forgets_early(seconds: int, now: int, data: st.DataObject) -> None:
    """What was charged counts for the whole length, and for a piece or two more at most."""
    window = Window(kind="rolling", seconds=seconds)
    start = window.start(now)
    assert start <= now < start + window.piece
    length = seconds * SECOND
    later = now + data.draw(st.integers(0, length))
    assert start >= window.since(later)
    much_later = now + length + 2 * window.piece
    assert start < window.since(much_later)
    end = window.ends(now)
    assert end is not None
    assert now + length <= end <= now + length + 2 * window.piece
    assert length // window.piece <= PIECES + 60


@given(moments)
def test_all_of_time_is_one_window(now: int) -> None:
    window = Window()
    assert (window.start(now), window.since(now), window.ends(now)) == (0, 0, None)


# -- amounts -------------------------------------------------------------------------------------

metrics = st.sampled_from(Metric)
kept = st.integers(0, 1 << 62)


@given(metrics, kept)
def test_what_is_kept_is_shown_and_read_as_the_same(metric: Metric, whole: int) -> None:
    """Not a billionth is lost, whichever way it is rounded."""
    value = shown(metric, whole)
    for given_ in (value, str(value), Decimal(str(value))):
        for up in (True, False):
            assert units(metric, given_, "x", up=up) == whole


@given(
    st.sampled_from([Metric.USD, Metric.AMOUNT]),
    st.decimals(0, 4_000_000_000, allow_nan=False, allow_infinity=False, places=14),
)
def test_a_demand_is_rounded_up_and_a_limit_down(metric: Metric, value: Decimal) -> None:
    """So that nothing fits by a rounding."""
    demand, limit = units(metric, value, "x"), units(metric, value, "x", up=False)
    assert Decimal(limit) / NANO <= value <= Decimal(demand) / NANO
    assert demand - limit in (0, 1)


@given(metrics, st.one_of(st.integers(max_value=-1), st.just(float("nan")), st.just("much")))
def test_what_is_no_amount_is_refused(metric: Metric, value: object) -> None:
    with pytest.raises(InvalidCall):
        units(metric, value, "x")


@given(st.floats(0, 1e9, allow_nan=False))
def test_a_float_counts_as_it_is_written(value: float) -> None:
    assert units(Metric.USD, value, "x") == units(Metric.USD, repr(value), "x")


# -- terms ---------------------------------------------------------------------------------------

words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)
facts = st.dictionaries(st.from_regex(r"[a-z]{1,9}", fullmatch=True), words, max_size=3)


@given(
    usd=st.none() | st.integers(0, 10**9),
    tokens=st.integers(0, 10**12),
    window=st.sampled_from([None, "hour", "day", "week", "month", 60, timedelta(days=2)]),
    zone=st.sampled_from(ZONES),
    per=st.lists(st.from_regex(r"args\.[a-z]{1,9}", fullmatch=True), max_size=3, unique=True),
    where=facts,
    require=facts,
    on_exceed=st.sampled_from(["deny", "ask", "warn", "downgrade"]),
    on_error=st.sampled_from(["deny", "allow"]),
    soft=st.lists(st.integers(1, 999), max_size=16, unique=True),
    raise_by=st.none() | st.integers(1, 10**6),
)
def test_terms_are_read_as_they_were_written(**said: object) -> None:
    """As JSON, in which they lie in the database."""
    usd, tokens, soft = said.pop("usd"), said.pop("tokens"), said.pop("soft")
    limits = {"tokens": tokens, "usd": usd}
    parts = [part / 1000 for part in soft]  # type: ignore[attr-defined]
    terms = declared("purse", limits=limits, of=None, soft=parts, **said)  # type: ignore[arg-type]
    assert terms_from(terms.text()) == terms
    assert terms_from(terms.text()).text() == terms.text()
    assert list(terms.soft) == sorted(soft)  # type: ignore[call-overload]


# -- weights -------------------------------------------------------------------------------------

amounts = st.integers(0, 1 << 40)
states = st.sampled_from([state.value for state in State])


@given(states, amounts, st.none() | amounts)
def test_what_was_not_released_weighs_at_least_what_is_known(
    state: str, amount: int, actual: int | None
) -> None:
    """And what nobody knows weighs all that was reserved."""
    weight = weigh(state, amount, actual)
    assert min(weight) >= 0
    if state == State.RELEASED:
        assert weight == Weight()
    if state == State.UNRECONCILED:
        assert weight.total == max(amount, actual or 0)
        assert weight.spent == (actual or 0)
    if state == State.SETTLED:
        assert weight == Weight(spent=amount if actual is None else actual)
    if state == State.HELD:
        assert weight == Weight(reserved=amount)


@given(st.lists(st.tuples(states, st.none() | amounts), max_size=8), amounts)
def test_the_books_balance_after_any_sequence(
    steps: list[tuple[str, int | None]], amount: int
) -> None:
    """Moving the differences comes to what the last state weighs; what was settled stays so."""
    state, actual = State.HELD.value, None
    booked = weigh(state, amount, actual)
    settled_at: Weight | None = None
    for to, spent in steps:
        if not allowed(state, to):
            assert state in (to, State.SETTLED) or to != State.SETTLED
            continue
        assert settled_at is None
        news = actual if spent is None else spent
        booked += weigh(to, amount, news) - weigh(state, amount, actual)
        state, actual = to, news
        if state == State.SETTLED:
            settled_at = booked
    assert booked == weigh(state, amount, actual)
    assert settled_at in (None, booked)


def test_from_every_state_only_these_may_be_reached() -> None:
    """Nothing comes back to be held, and nothing leaves being settled."""
    reach = {
        before: {after.value for after in State if allowed(before, after) and after != State.HELD}
        for before in State
    }
    assert reach == {
        State.HELD: {"settled", "released", "unreconciled"},
        State.UNRECONCILED: {"settled", "released"},
        State.RELEASED: {"settled"},
        State.SETTLED: set(),
    }


@given(amounts, amounts, amounts)
def test_exactly_the_limit_fits_and_one_more_does_not(taken: int, amount: int, more: int) -> None:
    figures = Figures(Weight(spent=taken), taken + amount)
    assert fits(amount, figures)
    assert not fits(amount + 1 + more, figures)
    assert figures.remaining == amount


parts = st.builds(
    Part,
    line=st.binary(min_size=16, max_size=16).map(bytes.hex),
    metric=st.sampled_from([metric.value for metric in Metric]),
    start=st.integers(0, 1 << 60),
    amount=amounts,
    actual=st.none() | amounts,
)


@given(
    st.lists(parts, max_size=4),
    st.none() | st.dictionaries(st.sampled_from(["usd", "tokens"]), amounts),
)
def test_parts_are_read_as_they_were_written(
    held: list[Part], actual: dict[str, int] | None
) -> None:
    """And what is known of a metric is written into each part of it, and into no other."""
    assert parts_of(written(held)) == held
    for before, after in zip(held, actually(held, actual), strict=True):
        assert after._replace(actual=None) == before._replace(actual=None)
        assert after.actual == (actual or {}).get(before.metric, before.actual)
