"""The report as a person sees it, in headless Chromium."""

import re
import shlex

import pytest
from browser import visit
from handmade import add, awkward, large, new_study, one_of_each
from optuna.distributions import CategoricalDistribution
from optuna.trial import create_trial

from optnas.report.page import write_report
from optnas.space import SPACES, bind_space
from optnas.study.digest import space_digest

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


MOBILE = {
    "activation": "relu", "stem.width": 16, "stage1.width": 12, "stage1.se": False, "stage1.block1.op": "mb3_k5",
    "stage1.block2.op": "skip", "stage1.block3.op": "mb1_k7", "stage2.width": 24, "stage2.se": True,
    "stage2.block1.op": "mb6_k3", "stage2.block2.op": "skip", "stage2.block3.op": "skip", "head.width": 64,
}  # fmt: skip


def drawable():
    """Three networks on the front, of a space that is there, so that they are drawn."""
    study, shape = new_study(name="drawable"), (1, 8, 8)
    digest = space_digest(bind_space(SPACES["mobile"], shape, 10), shape)
    task = {"data": "digits", "input_shape": shape, "classes": list("0123456789")}
    study.set_user_attr("optnas:settings", {"task": task, "space": {"name": "mobile", "digest": digest}})
    study.set_user_attr("optnas:request", {"data": "digits"})
    for index, values in enumerate(((0.3, 1e5), (0.2, 2e5), (0.1, 3e5))):
        chosen = MOBILE | {"head.width": 32 << index}
        distributions = {name: CategoricalDistribution((option,)) for name, option in chosen.items()}
        study.add_trial(create_trial(values=values, params=chosen, distributions=distributions))
    return study


def looks(page, selector):
    """How the words of a drawing are set: of each (size, colour), as the page's rules have it."""
    return page.locator(selector).evaluate_all(
        "nodes => nodes.map(node => [getComputedStyle(node).fontSize, getComputedStyle(node).fill])"
    )


@pytest.mark.parametrize("dark", [False, True])
def test_the_drawing_in_the_tooltip_is_that_of_the_card_without_its_legend(page_of, dark):
    with visit(dark=dark) as seen:
        page = seen.page
        page.goto(page_of(drawable(), "drawable"))
        page.locator('path[data-trial="2"]').hover()  # the best, which the card shows
        small, large = looks(page, "#tip svg text"), looks(page, "#best svg text")
        assert small == large
        assert len({size for size, _ in small}) > 1
        heights = [page.locator(f"{box} svg").get_attribute("viewBox").split()[3] for box in ("#tip", "#best")]
        assert float(heights[0]) < float(heights[1])
        # Nothing beyond that is seen, and its letters are no smaller than seven pixels.
        shown = page.locator("#tip svg").bounding_box()
        box = page.locator("#tip svg").evaluate("node => [node.viewBox.baseVal.width, node.viewBox.baseVal.height]")
        assert shown["width"] / shown["height"] == pytest.approx(box[0] / box[1], rel=0.01)
        assert 7.5 * shown["width"] / box[0] > 7
        assert seen.errors == []


@pytest.mark.parametrize("phone", [False, True])
def test_the_tooltip_is_seen_whole(page_of, phone):
    """Wherever the page is scrolled to: the bar at the top covers what is under it."""
    width, height = (390, 700) if phone else (1280, 800)
    with visit(width=width, height=height, phone=phone) as seen:
        page = seen.page
        page.goto(page_of(drawable(), "drawable"))
        for trial in range(3):
            dot = page.locator(f'path[data-trial="{trial}"]')
            for place in (120, height // 2, height - 60):
                at = dot.evaluate("node => node.getBoundingClientRect().top + scrollY")
                page.evaluate("top => scrollTo({ top, behavior: 'instant' })", at - place)
                if phone:
                    dot.tap()
                else:
                    page.mouse.move(0, 0)
                    dot.hover()
                bar, tip = page.locator("nav").bounding_box(), page.locator("#tip").bounding_box()
                assert tip["y"] >= (bar["y"] + bar["height"] if bar["y"] <= 0 else 0) - 1
                assert tip["y"] + tip["height"] <= height + 1
                assert tip["x"] >= 0
                assert tip["x"] + tip["width"] <= width


def test_the_card_says_how_to_train_and_export_the_network_that_it_shows(page_of):
    with visit() as seen:
        page = seen.page
        page.goto(page_of(drawable(), "drawable"))
        shown = page.locator("#best pre")

        def commands():
            return list(filter(None, (shlex.split(line, comments=True) for line in shown.inner_text().splitlines())))

        of_the_study = ["--study", "drawable", "--storage", ""]
        retrain, export = commands()
        assert retrain == ["optnas", "retrain", *of_the_study, "--trial", "2"]
        assert export == ["optnas", "export", *of_the_study, "--trial", "2", "--out", "deploy"]
        page.locator('path[data-trial="0"]').click()
        assert [command[6:8] for command in commands()] == [["--trial", "0"]] * 2
        slide(page, "macs", 1)
        front, retrain, _ = commands()
        assert front == ["optnas", "front", *of_the_study, "--budget", "macs<=200000"]
        assert retrain[6:8] == ["--trial", "1"]


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


@pytest.mark.parametrize(
    ("text", "trials"),
    [
        ("MACs<200", ["0", "6", "8"]),
        ("macs < 200", ["0", "6", "8"]),
        ("MACS<0.2k", ["0", "6", "8"]),
        ("validation error < 15 %", ["1", "3"]),
        ("Parameters<15", ["0"]),
        ("params ≤ 10", ["0"]),
        ("error=20% front", ["0"]),
        ("trial = 4", ["4"]),
        ("epochs>=1 macs>=300", ["2", "3"]),
        ("stem.width>24 block1.op=mb3", ["3"]),
    ],
)
def test_the_filter_takes_what_the_page_itself_writes(page_of, text, trials):
    with visit() as seen:
        seen.page.goto(page_of(one_of_each(), "each"))
        seen.page.fill("#filter", text)
        rows = seen.page.locator("#table tbody tr")
        assert [row.locator("td").first.inner_text() for row in rows.all()] == trials
        assert seen.page.inner_text("#wrong") == ""
        assert seen.errors == []


def test_bytes_may_have_their_sign(page_of):
    with visit() as seen:
        seen.page.goto(page_of(large(300), "large300"))
        counts = []
        for text in ("size_bytes<25k", "size<25kB", "size < 25 kB", "Size<25000B"):
            seen.page.fill("#filter", text)
            counts.append(seen.page.inner_text("#count"))
        assert len(set(counts)) == 1
        assert counts[0] not in ("300 trials", "0 of 300 trials")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("flops<3", "no column flops; there are trial, epochs, validation error, MACs, parameters"),
        ("macs<", "macs<: expected a number such as 200k or 1.5%, got nothing"),
        ("macs < many", "macs<: expected a number such as 200k or 1.5%, got many"),
        ("MACs<2x", "MACs<: expected a number such as 200k or 1.5%, got 2x"),
    ],
)
def test_a_filter_that_cannot_be_understood_says_so(page_of, text, told):
    with visit() as seen:
        seen.page.goto(page_of(one_of_each(), "each"))
        seen.page.fill("#filter", text)
        assert seen.page.inner_text("#wrong") == told
        seen.page.fill("#filter", "mb3_k3")
        assert seen.page.inner_text("#wrong") == ""
        assert seen.errors == []


@pytest.mark.parametrize("name", awkward())
def test_awkward_studies_make_a_page_without_errors(page_of, name):
    with visit(width=390, phone=True) as seen:
        seen.page.goto(page_of(awkward()[name], name))
        assert seen.errors == []
        # Nothing sticks out of a phone's screen.
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("width", [390, 560, 640, 1280])
def test_a_figure_that_is_wider_than_the_screen_says_so(page_of, width):
    with visit(width=width) as seen:
        seen.page.goto(page_of(one_of_each(), "each"))
        found = seen.page.locator("figure").evaluate_all(
            "nodes => nodes.map(node => [node.scrollWidth > node.clientWidth, "
            "getComputedStyle(node, '::before').content.includes('sideways')])"
        )
        assert found
        assert all(hint for wider, hint in found if wider)
        assert all(hint == (width < 600) for _, hint in found)


def test_figures_do_not_touch_the_tables_above_them(page_of):
    with visit() as seen:
        seen.page.goto(page_of(large(60), "large60"))
        gaps = seen.page.locator(".scroll + .figures").evaluate_all(
            "nodes => nodes.map(node => node.firstElementChild.getBoundingClientRect().top - "
            "node.previousElementSibling.getBoundingClientRect().bottom)"
        )
        assert gaps
        assert min(gaps) > 10


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
        command = seen.page.locator("#best pre").inner_text().splitlines()[1]
        assert shlex.split(command)[-2:] == ["--budget", f"{name}<=200"]
        assert "$(" not in re.sub(r"'[^']*'", "", command)
        assert seen.errors == []
