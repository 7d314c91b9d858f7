"""On which databases do the shops' tests run?

All on SQLite; those about money, restarts, stores and webhooks on a real Postgres server too. Such
a test finds the URL of a fresh database in its ``tmp_path``, where ``World`` looks.
"""

import pytest

from tests.in_memory import tmp_path
from tests.postgres import running

__all__ = ("tmp_path",)

TWICE = {
    "test_sale_from_invoice_to_final",
    "test_late_and_mixed_money_is_weighed",
    "test_a_busted_sale_is_sold_again",
    "test_stores_and_their_rights",
    "test_webhooks_arrive",
    "test_sales_are_told_how_far_they_are",
    "test_many_sales_of_one_invoice_are_shown_in_pages",
    "test_what_is_too_small_to_sell_has_an_end",
    "test_rests_of_invoices_are_sold_together",
    "test_a_store_asks_for_a_grant_a_token",
    "test_shops_over_rest",
    "test_a_stranger_changes_nothing_that_was_paid",
    "test_old_addresses_are_not_watched",
    "test_found_payment_confirmed_after_a_day_was_left_at_its_address",
    "test_killed_at_any_step_the_sale_ends_the_same",
}
"""Files of which each test runs on both; other tests ask for ``server`` themselves."""

TOO_LONG = {
    "test_one_kill_at_every_seam",
    "test_kills_close_together",
    "test_found_endpoints_that_hang_took_every_place",
    "test_pages_of_them_go_from_the_newest_to_the_first",
    "test_a_sale_that_is_not_shown_counts_in_the_phase",
    "test_no_more_rows_are_read_than_are_shown",
    "test_more_than_a_step_takes_are_taken_by_the_next",
}
"""Hundreds of venues, or thousands of rows: on Postgres in ``make soak`` alone."""


def pytest_generate_tests(metafunc):
    name = metafunc.module.__name__.rpartition(".")[-1]
    if name in TWICE and "tmp_path" in metafunc.fixturenames:
        marks = [pytest.mark.postgres]
        if metafunc.function.__name__ in TOO_LONG:
            marks.append(pytest.mark.soak)
        metafunc.parametrize(
            "kind", ["sqlite", pytest.param("postgres", marks=marks)], indirect=True
        )


@pytest.fixture(scope="session")
def server():
    """A real Postgres server; ``shops`` in it is an empty database of ours."""
    with running() as started:
        yield started


@pytest.fixture(autouse=True)
def kind(request):
    if getattr(request, "param", "sqlite") == "sqlite":
        yield
        return
    found = request.getfixturevalue("server")
    name = found.fresh("shops")
    (request.getfixturevalue("tmp_path") / "merchants.url").write_text(found.url(name))
    yield
    found.drop(name)
