"""How values are shown: the same table as text and as HTML."""

from __future__ import annotations

from mlops_workbench.base.values import html_table, text_table


def test_addresses_are_links_and_other_text_is_escaped() -> None:
    page = html_table(("", ""), [("try it", "http://127.0.0.1:8000/docs"), ("ask it", "POST http://a/<b>")])
    assert '<a href="http://127.0.0.1:8000/docs" target="_blank" rel="noopener noreferrer">' in page
    assert page.count("<a ") == 1
    assert "POST http://a/&lt;b&gt;" in page
    assert "<a " not in html_table(("url",), [("javascript:alert(1)",)])


def test_large_counts_are_grouped() -> None:
    assert text_table(("rows", "year"), [(23611, 2013)]).splitlines()[1].split() == ["23,611", "2013"]


def test_short_words_stay_in_one_line_and_long_ones_may_wrap() -> None:
    page = html_table(("when", "why"), [("2026-11-21 07:53:31", "a reason that needs more than one line")])
    assert page.count("white-space:nowrap") == 3  # two heads and the time


def test_a_title_that_says_all_has_nothing_below_it() -> None:
    assert "(none)" not in html_table(("", ""), [], title="Stopped.")
    assert "(none)" in html_table(("model",), [], title="Models")
