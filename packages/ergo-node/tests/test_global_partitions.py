"""Reports of lost connections, and what follows from them."""

from ergo_node._global_partitions import KEPT, LEAST_SMALL, LOST_CONNECTION, Partitions
from etf_codec import Atom

A, B, C = "a@host", "b@host", "c@host"


def partitions(prevented: bool = True) -> Partitions:
    return Partitions(A, 5, 7, prevented)


def test_a_loss_is_reported_with_a_number_that_grows() -> None:
    ours = partitions()
    run = 5 * 2**32 + 7 + LEAST_SMALL
    assert ours.lost(B) == (LOST_CONNECTION, Atom(A), run, 1, Atom(B))
    assert ours.lost(B) == (LOST_CONNECTION, Atom(A), run, 2, Atom(B))
    assert partitions(prevented=False).lost(B) is None


def test_who_was_left_on_purpose_is_not_reported_once() -> None:
    ours = partitions()
    ours.leave(B)
    assert ours.lost(C) is not None
    assert ours.lost(B) is None
    assert ours.lost(B) is not None


def test_the_lost_one_is_left_or_the_reporter_if_that_is_us() -> None:
    ours = partitions()
    assert ours.reported(B, C, 1, 1, 0.0) == C
    assert ours.reported(C, B, 1, 1, 0.0) == B
    assert ours.reported(C, A, 1, 1, 0.0) == C
    assert partitions(prevented=False).reported(B, C, 1, 1, 0.0) is None


def test_each_report_counts_once() -> None:
    ours = partitions()
    assert ours.is_news(B, C, 1, 5, 0.0)
    assert not ours.is_news(B, C, 1, 5, 1.0)
    assert not ours.is_news(B, C, 1, 4, 1.0)
    assert ours.is_news(B, C, 1, 6, 2.0)
    assert ours.is_news(B, C, 2, 1, 3.0), "the reporter was started again"
    assert ours.is_news(C, B, 1, 5, 4.0)


def test_reports_are_forgotten_after_an_hour() -> None:
    ours = partitions()
    assert ours.is_news(B, C, 1, 5, 0.0)
    assert ours.is_news(C, B, 1, 5, KEPT / 2)
    assert not ours.is_news(C, B, 1, 5, KEPT + 1)
    assert ours.is_news(B, C, 1, 5, KEPT + 1)
