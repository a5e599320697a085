"""The realism report for machines and browsers: nothing is lost, and ids cannot break the page."""

from __future__ import annotations

import json
from html.parser import HTMLParser

from ranklift.simulator.logs.search_log import LoggedClick, LoggedPage, log_of
from ranklift.simulator.realism import realism
from ranklift.simulator.realism_page import as_html, as_values

FOUND = realism(
    *(
        log_of(
            [LoggedPage(f"s{n}", "q", ("x", "y"), (LoggedClick(n % share),)) for n in range(40)],
            "",
        )
        for share in (2, 1)
    )
)


def test_every_number_is_there_and_json_has_no_nan() -> None:
    values = json.loads(json.dumps(as_values(FOUND), allow_nan=False))
    assert [one["measure"] for one in values["compared"]] == [one.measure for one in FOUND.compared]
    ctr = values["compared"][0]
    assert ctr["real"][:3] == [0.5, 0.5, None]
    assert ctr["simulated"][:3] == [1.0, 0.0, None]
    assert values["auc"]["value"] == FOUND.auc.value
    assert values["missing"] == list(FOUND.missing)


def test_the_page_is_well_formed_whatever_the_title() -> None:
    class Balance(HTMLParser):
        depth = 0

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.depth += tag not in ("meta",)

        def handle_endtag(self, tag: str) -> None:
            self.depth -= 1

    page = as_html(FOUND, "<script>'\"&")
    parser = Balance()
    parser.feed(page)
    assert parser.depth == 0
    assert "<script>" not in page
    assert page.count("<figure>") == len(FOUND.compared)
