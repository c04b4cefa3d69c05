"""The report as a person sees it, in headless Chromium."""

import re
import shlex

import pytest
from browser import visit
from handmade import add, awkward, large, new_study, one_of_each

from optnas.report.page import write_report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page_of(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")

    def write(study, name):
        path = folder / f"{name}.html"
        if not path.exists():
            write_report(study, path)
        return path.as_uri()

    return write


def slide(page, name, place):
    """Move a slider; `place` counts the distinct values from the cheapest."""
    page.locator(f"#limit-{name}").evaluate(
        "(node, place) => { node.value = place; node.dispatchEvent(new Event('input', { bubbles: true })); }", place
    )


def test_the_slider_picks_the_best_within_the_budget(page_of):
    with visit() as seen:
        seen.page.goto(page_of(one_of_each(), "each"))
        best = seen.page.locator("#best")
        # Without a limit the least error, trial 1; with at most 100 MACs only trial 0 is left.
        assert "trial 1" in best.inner_text()
        slide(seen.page, "macs", 0)
        assert "trial 0" in best.inner_text()
        assert "at most 100" in best.inner_text()
        slide(seen.page, "macs", 1)
        assert "trial 1" in best.inner_text()
        assert seen.errors == []
        assert seen.requests == [page_of(one_of_each(), "each")]


def test_every_budget_picks_what_the_study_says(page_of):
    study = large(300)
    usable = [t for t in study.trials if t.values and all(v <= 0 for v in t.constraints.values())]
    costs = sorted({t.user_attrs["optnas:costs"]["params"] for t in usable})
    with visit() as seen:
        seen.page.goto(page_of(study, "large300"))
        for place in range(0, len(costs), 17):
            slide(seen.page, "params", place)
            within = [t for t in usable if t.user_attrs["optnas:costs"]["params"] <= costs[place]]
            best = min(within, key=lambda trial: trial.values)
            assert f"trial {best.number} " in seen.page.locator("#best").inner_text()
        assert seen.errors == []


def test_hovering_shows_the_network(page_of):
    with visit() as seen:
        seen.page.goto(page_of(one_of_each(), "each"))
        seen.page.locator('[data-trial="0"]').hover()
        tip = seen.page.locator("#tip")
        assert tip.is_visible()
        assert "trial 0" in tip.inner_text()
        assert "20.00%" in tip.inner_text()
        assert "block1.op=mb3_k3" in tip.inner_text()


def test_the_table_sorts_and_filters(page_of):
    with visit() as seen:
        seen.page.goto(page_of(one_of_each(), "each"))
        rows = seen.page.locator("#table tbody tr")
        assert rows.count() == 10
        seen.page.get_by_role("button", name="MACs").click()
        assert rows.first.locator("td").first.inner_text() in ("0", "6")  # both have 100
        seen.page.fill("#filter", "macs>200 error<=30%")
        assert [row.locator("td").first.inner_text() for row in rows.all()] == ["2", "3"]
        seen.page.fill("#filter", "pruned")
        assert rows.count() == 1
        seen.page.fill("#filter", "")
        seen.page.select_option("#states", "refused")
        assert "over budget" in rows.first.inner_text()


@pytest.mark.parametrize("name", awkward())
def test_awkward_studies_make_a_page_without_errors(page_of, name):
    with visit(width=390, phone=True) as seen:
        seen.page.goto(page_of(awkward()[name], name))
        assert seen.errors == []
        # Nothing sticks out of a phone's screen.
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_thousand_trials_open_at_once(page_of):
    with visit() as seen:
        seen.page.goto(page_of(large(1000), "large1000"))
        spent = seen.page.evaluate(
            "(() => { const t = performance.getEntriesByType('navigation')[0]; return t.domComplete - t.startTime; })()"
        )
        assert seen.page.locator("#chart .dot").count() > 900
        assert seen.page.locator("#table tbody tr").count() == 60
        assert spent < 5000
        assert seen.errors == []


def test_light_and_dark(page_of):
    backgrounds = []
    for dark in (False, True):
        with visit(dark=dark) as seen:
            seen.page.goto(page_of(one_of_each(), "each"))
            backgrounds.append(seen.page.evaluate("getComputedStyle(document.body).backgroundColor"))
            seen.page.click("#theme")
            backgrounds.append(seen.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    light, turned, dark, back = backgrounds
    assert light == back != dark == turned


def test_the_command_for_a_budget_is_one_command_whatever_the_costs_are_called(page_of):
    name = "macs$(touch mark)`touch mark`'; touch mark; '"
    study = new_study(("error", name))
    for error, cost in ((0.3, 100.0), (0.2, 200.0), (0.1, 300.0)):
        add(study, (error, cost), curve=[error])
    study.set_user_attr("optnas:request", {"data": "digits"})
    with visit() as seen:
        seen.page.goto(page_of(study, "costly"))
        seen.page.locator("input[type=range]").evaluate(
            "slider => { slider.value = 1; slider.dispatchEvent(new Event('input')) }"
        )
        command = seen.page.locator("#best pre").inner_text()
        assert shlex.split(command)[-2:] == ["--budget", f"{name}<=200"]
        assert "$(" not in re.sub(r"'[^']*'", "", command)
        assert seen.errors == []
