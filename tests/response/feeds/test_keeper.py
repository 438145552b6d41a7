from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from policies.model import Feed, Mode, Policy
from policies.semantics.membership import Membership
from response.feeds.admission import guard_of
from response.feeds.archive import FeedArchive
from response.feeds.keeper import FeedRecord, Keeper, SourceReply, shown
from response.feeds.load import Loaded, load
from response.feeds.outcome import FeedRefresh, dumps, loads

FEED = Feed("drop", "/feeds/drop.txt", "cidr-list", Mode.ENFORCE, refresh=100)
GUARD = guard_of(Policy("p"), Membership(Policy("p")), ())


def loaded(text: str = "8.8.8.0/24\n127.0.0.1\nnonsense\n") -> Loaded:
    return load(text.encode(), FEED, GUARD, 0.0)


def fetched(keeper: Keeper, now: float, text: str = "8.8.8.8\n") -> FeedRecord:
    work = keeper.due(now)
    assert work is not None and work.fetch
    record = keeper.done(work, SourceReply(False, "tag", None, "d1"), loaded(text), now)
    assert record is not None
    return record


def test_a_feed_is_due_at_once_then_every_refresh() -> None:
    keeper = Keeper([FEED], {})
    work = keeper.due(0.0)
    assert work is not None and work.fetch and work.record.etag is None
    assert keeper.due(0.0) is None, "it is being fetched already"
    keeper.done(work, SourceReply(False, "tag", "date", "d1"), loaded(), 1.0)
    assert keeper.due(100.0) is None
    again = keeper.due(101.0)
    assert again is not None
    assert (again.record.etag, again.record.modified) == ("tag", "date")


def test_a_failure_keeps_what_was_good_and_is_tried_again_less_and_less_often() -> None:
    keeper = Keeper([replace(FEED, refresh=3600)], {})
    good = fetched(keeper, 0.0)
    now, waits = 3600.0, []
    for number in range(1, 9):
        work = keeper.due(now)
        assert work is not None and work.fetch
        record = keeper.failed(work, "the server says 500", now)
        assert record is not None
        assert (record.in_force, record.good_at, record.failures) == (good.in_force, 0.0, number)
        waits.append(record.due_at - now)
        now = record.due_at
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600]
    assert keeper.records()[0].age(7200.0) == "stale"
    assert keeper.records()[0].age(86_400.0) == "aged out"
    work = keeper.due(now)
    assert work is not None
    back = keeper.done(work, SourceReply(True, "tag"), loaded(), now)
    assert back is not None
    assert (back.age(now), back.error, back.digest) == ("fresh", None, "d1")


def test_what_is_too_old_is_told_once() -> None:
    keeper = Keeper([FEED], {})
    fetched(keeper, 0.0)
    assert keeper.aged_out(86_399.0) == ()
    assert [record.name for record in keeper.aged_out(86_400.0)] == ["drop"]
    assert keeper.aged_out(86_401.0) == ()


def test_a_restart_goes_on_with_what_was_kept() -> None:
    keeper = Keeper([FEED], {})
    record = fetched(keeper, 0.0)
    again = Keeper([FEED], {"drop": record}, listed=["drop", "gone"])
    assert again.gone == ("gone",)
    work = again.due(50.0)
    assert work is not None and not work.fetch, "from what was kept, without asking anybody"
    after = again.done(work, SourceReply(True), loaded(), 50.0)
    assert after is not None
    assert (after.etag, after.good_at, after.due_at) == ("tag", 0.0, 100.0)
    late = Keeper([FEED], {"drop": record}, listed=["drop"])
    assert [each.name for each in late.aged_out(90_000.0)] == ["drop"]
    work = late.due(90_000.0)
    assert work is not None and work.fetch, "what is too old is not put in force again"


def test_another_policy() -> None:
    keeper = Keeper([FEED], {})
    fetched(keeper, 0.0)
    assert keeper.use([replace(FEED, mode=Mode.AUDIT)]) == ()
    work = keeper.due(1.0)
    assert work is not None and not work.fetch
    keeper.done(work, SourceReply(True), loaded(), 1.0)
    assert keeper.mode("drop") is Mode.AUDIT
    assert keeper.use([replace(FEED, path="/feeds/other.txt")]) == ("drop",)
    work = keeper.due(2.0)
    assert work is not None and work.fetch and work.record.etag is None
    assert keeper.use([]) == ("drop",)
    assert keeper.done(work, SourceReply(False), loaded(), 3.0) is None, "too late: nobody wants it"
    assert keeper.records() == ()


def test_entries_that_begin_or_end_are_judged_at_their_time() -> None:
    keeper = Keeper([FEED], {})
    work = keeper.due(0.0)
    assert work is not None
    keeper.done(work, SourceReply(False), replace(loaded(), changes_at=40.0), 0.0)
    assert keeper.due(39.0) is None
    work = keeper.due(40.0)
    assert work is not None and not work.fetch


def test_a_person_need_not_wait() -> None:
    keeper = Keeper([FEED], {})
    fetched(keeper, 0.0)
    assert keeper.due(1.0) is None
    assert keeper.refresh(["drop", "other"]) == ("other",)
    work = keeper.due(1.0)
    assert work is not None and work.fetch


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/feeds/drop.txt", "/feeds/drop.txt"),
        ("https://feeds.example/drop.txt", "https://feeds.example/drop.txt"),
        ("https://u:secret@feeds.example:8443/a?token=secret#secret", "https://…@feeds.example:8443/a?…"),
        ("https://[2001:db8::1]/a", "https://[2001:db8::1]/a"),
        ("https://u:secret@[broken/a", "https://…"),
    ],
)  # fmt: skip
def test_no_secret_of_an_address_is_shown(path: str, text: str) -> None:
    assert shown(path) == text


def test_who_asks_while_it_is_being_fetched_gets_it_fetched_again() -> None:
    keeper = Keeper([FEED], {})
    work = keeper.due(0.0)
    assert work is not None
    keeper.refresh(["drop"])
    first = keeper.done(work, SourceReply(False), loaded(), 2.0)
    assert first is not None and first.tried_at == 0.0, "asked of its source before"
    again = keeper.due(2.0)
    assert again is not None and again.fetch
    second = keeper.done(again, SourceReply(False), loaded(), 3.0)
    assert second is not None and second.due_at == 103.0


def test_who_asks_while_it_is_being_judged_again_gets_it_fetched() -> None:
    keeper = Keeper([FEED], {})
    fetched(keeper, 0.0)
    for fails in (False, True):
        keeper.again()
        work = keeper.due(1.0)
        assert work is not None and not work.fetch
        keeper.refresh(["drop"])
        if fails:
            keeper.failed(work, "what was kept cannot be used", 2.0)
        else:
            keeper.done(work, SourceReply(True), loaded(), 2.0)
        asked = keeper.due(2.0)
        assert asked is not None and asked.fetch
        keeper.done(asked, SourceReply(False), loaded(), 3.0)
        assert keeper.due(3.0) is None


def test_the_archive_gives_back_what_it_keeps(tmp_path: Path) -> None:
    keeper = Keeper([FEED], {})
    work = keeper.due(0.0)
    assert work is not None
    record = keeper.done(work, SourceReply(False, "tag"), loaded(), 0.0)
    assert record is not None
    assert (record.refused_count, record.bad_count, record.in_force) == (1, 1, 1)
    archive = FeedArchive(tmp_path)
    archive.keep(record)
    archive.keep_body("drop", b"8.8.8.8")
    assert archive.records() == {"drop": record}
    assert archive.body("drop") == b"8.8.8.8"
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "feeds").iterdir()} == {0o600}
    (tmp_path / "feeds" / "x.json").write_text('{"name": 7}')
    (tmp_path / "feeds" / "y.json").write_text("[]")
    assert archive.records() == {"drop": record}, "what is damaged is as if not there"
    archive.forget(["drop"])
    assert archive.records() == {}


def test_an_outcome_survives_the_way_from_the_child() -> None:
    outcome = FeedRefresh(
        None, SourceReply(False, "tag", None, "ab"), loaded("8.8.8.8:53\n9.9.9.9\n::9\n")
    )
    assert loads(dumps(outcome)) == outcome
    assert loads(dumps(FeedRefresh("no"))) == FeedRefresh("no")
