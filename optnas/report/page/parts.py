"""The sections of the page, each from the facts of a study and the figures that show them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna import Study

from optnas.errors import UsageError
from optnas.explain import Explanation, Price, explain
from optnas.explain.surface import Effect
from optnas.explain.words import effect_range, rise
from optnas.facts.certainty import Certainty, certainty
from optnas.facts.knee import knee
from optnas.facts.summary import format_value
from optnas.facts.wishes import wishes
from optnas.front import objective_names
from optnas.objective import ERROR
from optnas.report.curves import draw_curves
from optnas.report.explained import draw_importance, draw_price_list
from optnas.report.finding import front_finding
from optnas.report.hypervolume import draw_course
from optnas.report.options import draw_options
from optnas.report.page.data import COSTS_IN_WORDS
from optnas.report.page.inline import inline_figure
from optnas.report.page.part import Drawn, Part, Reading, Table
from optnas.report.pairs import draw_pairs
from optnas.report.parallel import draw_parallel
from optnas.report.timeline import draw_timeline
from optnas.study.audit import audit_study
from optnas.verdict import judge_study

__all__ = ["make_parts"]

#: Rows of the price list, and of what saves costs.
_PRICES, _SAVERS = 14, 7


def make_parts(reading: Reading) -> tuple[list[Part], Mapping[int, float]]:
    """The sections in their order, the front first, and by trial number how sure its place on the front is."""
    sure = _sure(reading)
    makers: list[tuple[str, str, Callable[[Reading], Part]]] = [
        ("take", "Which to take", partial(_take, sure=sure)),
        ("explained", "Explained", _explained),
        ("course", "Course", _course),
        ("curves", "Learning curves", _curves),
        ("luck", "Luck", _luck),
        ("pruning", "Pruning", _pruning),
        ("choices", "Choices", _choices),
        ("workers", "Workers", _workers),
    ]
    parts = [_front(reading)]
    for name, short, maker in makers:
        reading.say(f"report: {short.lower()}")
        parts.append(_made(name, short, maker, reading))
    known = () if isinstance(sure, str) else sure.networks
    return parts, {network.trial: network.probability for network in known}


def _made(name: str, short: str, maker: Callable[[Reading], Part], reading: Reading) -> Part:
    """A section; one that this study has nothing for says why in its place."""
    try:
        return maker(reading)
    except UsageError as error:
        return Part(name, short, short, (f"Nothing to show: {error}.",))


def _front(reading: Reading) -> Part:
    return Part("front", "Front", front_finding(reading.study, reading.trials))


def _sure(reading: Reading) -> Certainty | str:
    """How sure the front is, or why that cannot be told."""
    reading.say("report: how sure the front is")
    try:
        return certainty(reading.study)
    except UsageError as error:
        return str(error)


def _take(reading: Reading, sure: Certainty | str) -> Part:
    if not reading.members:
        raise UsageError("no network is on the front")
    bargain = knee(reading.study)
    names = objective_names(reading.study)
    shares = wishes(reading.study)
    sentences = [str(bargain), sure if isinstance(sure, str) else str(sure)]
    heads = ["trial", *map(_label, names), "probability to belong on the front"]
    heads += ["share of all wishes that it suits best"] if shares else []
    rows = []
    for member in reading.members:
        known = None if isinstance(sure, str) else sure.of(member.trial)
        cells = [str(member.trial), *(format_value(name, member.values[name]) for name in names)]
        cells.append("not known" if known is None else f"{known.probability:.0%}")
        rows.append((*cells, *([f"{shares.get(member.trial, 0.0):.0%}"] if shares else [])))
    title = "Which one to take" if bargain.network is None else f"The best bargain is trial {bargain.network.trial}"
    if shares:
        sentences.append(
            "A wish is a mixture of the objectives as they stand, each counted in units of its spread among the "
            "trained networks; every mixture is equally likely."
        )
    table = Table(tuple(heads), tuple(rows), texts=())
    return Part("take", "Which to take", title, tuple(sentences), tables=(table,))


def _explained(reading: Reading) -> Part:
    explanation = explain(reading.study, reading.objective, absent=reading.absent)
    priced = [one for one in explanation.prices if one.learned is not None]
    drawn = []
    if explanation.importances.choices:
        size = (8.0, 1.3 + 0.28 * min(14, len(explanation.importances.choices)))
        drawn.append(Drawn(inline_figure(_explaining(draw_importance, explanation), "importance", size)))
    if priced:
        drawn.append(Drawn(inline_figure(_explaining(draw_price_list, explanation), "prices", (8.0, 4.8))))
    return Part(
        "explained", "Explained", "What choices cost and bring",
        # A terminal may lack the arrow that the tables of a page have.
        listed=tuple(sentence.replace(" -> ", " → ") for sentence in explanation.sentences),
        tables=_price_lists(explanation), figures=tuple(drawn),
    )  # fmt: skip


def _price_lists(explanation: Explanation) -> tuple[Table, ...]:
    """What a single change brings, the best first, and what can be saved by one that is not known to do harm."""
    sign = 1 if explanation.direction == "minimize" else -1
    priced = [(one, one.learned) for one in explanation.prices if one.learned is not None]
    told = [pair for pair in priced if pair[1].told]
    rows = sorted(told or priced, key=lambda pair: sign * pair[1].mean)[:_PRICES]
    if not rows:
        return ()
    left = len(explanation.prices) - len(rows)
    title = "Price list: one choice changed, all others kept"
    title += " (what chance cannot explain)" if told else " (nothing that chance could not explain)"
    title += f"; {left} more in optnas explain --all" if left else ""
    tables = [_price_list(explanation, rows, title)]
    cost = next(iter(explanation.objective_costs), None)
    if cost is not None:
        harmless = [pair for pair in priced if not (pair[1].told and sign * pair[1].mean > 0)]
        savers: dict[str, tuple[Price, Effect]] = {}
        for price, learned in sorted(harmless, key=lambda pair: pair[0].costs[cost].mean):
            if price.costs[cost].mean < 0:
                savers.setdefault(price.choice, (price, learned))
        title = f"What saves most {_label(cost)} of each choice and is not known to do harm"
        tables += [_price_list(explanation, [*savers.values()][:_SAVERS], title)] if savers else []
    return tuple(tables)


def _price_list(explanation: Explanation, rows: Sequence[tuple[Price, Effect]], title: str) -> Table:
    names = explanation.objective_costs
    cells = [
        (
            price.choice, f"{price.usual} → {price.option}",
            *(rise(name, price.costs[name].mean) for name in names),
            effect_range(explanation.learned, learned),
        )
        for price, learned in rows
    ]  # fmt: skip
    heads = ["choice", "usual → another option"]
    heads += [f"{_label(name)}, estimated" if name in explanation.estimated else _label(name) for name in names]
    heads.append("error, in points" if explanation.learned == ERROR else explanation.learned)
    return Table(tuple(heads), tuple(cells), title, texts=(0, 1))


def _label(name: str) -> str:
    """An objective or cost as every heading of the page has it."""
    return COSTS_IN_WORDS[name][0] if name in COSTS_IN_WORDS else name


def _explaining(draw: Callable[[Explanation, Axes], None], explanation: Explanation) -> Callable[[Figure], None]:
    return lambda figure: draw(explanation, figure.subplots())


def _course(reading: Reading) -> Part:
    figure = inline_figure(partial(draw_course, reading.study), "course", (9.0, 3.6))
    return Part("course", "Course", "How it went", figures=(Drawn(figure),))


def _curves(reading: Reading) -> Part:
    if not any(trial.curve for trial in reading.trials):
        raise UsageError("no trial of this study kept its curve")
    figure = inline_figure(_on_axes(draw_curves, reading.study), "curves")
    return Part("curves", "Learning curves", "Learning curves", figures=(Drawn(figure),))


def _choices(reading: Reading) -> Part:
    shapes = (("options", draw_options, (8.0, 5.0)), ("parallel", draw_parallel, (9.0, 4.4)))
    drawn = [Drawn(inline_figure(_on_axes(draw, reading.study), name, size)) for name, draw, size in shapes]
    pairs = inline_figure(partial(draw_pairs, reading.study), "pairs", (8.0, 4.8))
    return Part("choices", "Choices", "What the networks of the front are made of", figures=(*drawn, Drawn(pairs)))


def _workers(reading: Reading) -> Part:
    figure = inline_figure(_on_axes(draw_timeline, reading.study), "workers", (9.0, 2.8))
    return Part("workers", "Workers", "When each network was trained", figures=(Drawn(figure),))


def _on_axes(draw: Callable[[Study, Axes], None], study: Study) -> Callable[[Figure], None]:
    return lambda figure: draw(study, figure.subplots())


def _pruning(reading: Reading) -> Part:
    account = audit_study(reading.study)
    if account.trials == 0:
        return Part("pruning", "Pruning", "Pruning", ("No training has ended yet.",))
    share = account.epochs_saved / max(account.epochs_used + account.epochs_saved, 1)
    title = f"Pruning saved {share:.0%} of the epochs" if account.pruned else "No training was stopped early"
    return Part("pruning", "Pruning", title, (str(account),))


def _luck(reading: Reading) -> Part:
    build = None if reading.space is None else reading.space.build
    verdict = judge_study(reading.study, build)
    title = {
        "beat": "Not luck: it beat random search",
        "not shown": "Not shown to be better than random search",
        "worse": "Worse than random search",
        "too few": "Too few networks to tell from luck",
    }[verdict.verdict]
    return Part("luck", "Luck", title, (str(verdict),))
