import pytest
from handmade import awkward, large, new_study
from matplotlib.figure import Figure

from optnas.facts.trials import read_trials
from optnas.report.units import amount, better, cost_axis, duration, is_logarithmic, measures, short_label


def axis_of(name, values):
    axes = Figure().subplots()
    axes.plot(values, values)
    cost_axis(axes.xaxis, name, values, "smaller is better")
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.xaxis.get_majorticklocs() if low <= tick <= high]
    return axes, [axes.xaxis.get_major_formatter()(tick, 0) for tick in ticks]


def test_an_axis_that_spans_a_decade_is_logarithmic():
    axes, words = axis_of("macs", [1e5, 1e6])
    assert axes.get_xscale() == "log"
    assert words == ["100 k", "200 k", "500 k", "1 M"]
    assert axis_of("macs", [1e5, 9e5])[0].get_xscale() == "linear"
    assert not is_logarithmic([-1.0, 10.0, 100.0])
    assert not is_logarithmic([])


def test_many_decades_have_few_marks():
    assert axis_of("macs", [1.0, 1e6])[1] == ["1", "10", "100", "1 k", "10 k", "100 k", "1 M"]


def test_an_error_of_zero_has_a_place_below_the_others():
    axes, words = axis_of("error", [0.0, 0.01, 0.5])
    assert axes.get_xscale() == "symlog"
    assert words == ["0", "1", "2", "5", "10", "20", "50"]


@pytest.mark.parametrize(
    ("name", "values", "words", "label"),
    [
        ("error", [0.1, 0.3], ["10", "15", "20", "25", "30"], "validation error (%), smaller is better"),
        ("latency_ms", [1.0, 3.0], ["1", "1.5", "2", "2.5", "3"], "latency (ms), smaller is better"),
        (
            "size_bytes",
            [100e3, 300e3],
            ["100 k", "150 k", "200 k", "250 k", "300 k"],
            "size (bytes), smaller is better",
        ),
        ("macs", [10, 12], ["10", "11", "12"], "multiply-adds (MACs), smaller is better"),
        ("my score", [1, 2], ["1", "1.2", "1.4", "1.6", "1.8", "2"], "my score, smaller is better"),
    ],
)
def test_marks_have_their_unit_at_the_axis(name, values, words, label):
    axes, found = axis_of(name, values)
    assert found == words
    assert axes.get_xlabel() == label


def test_amounts_in_a_sentence():
    assert amount("error", 0.0123) == "1.23% error"
    assert amount("macs", 2e6) == "2.00 M MACs"
    assert amount("macs", 2e6, noun=False) == "2.00 M"
    assert amount("latency_ms", 1.305) == "1.30 ms"
    assert amount("score", 0.5) == "score 0.5"
    assert short_label("peak_memory_bytes") == "peak memory"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.05, "50 ms"), (5, "5.0 s"), (45, "45 s"), (600, "10 min"), (3600 * 3.2, "3.2 h"), (3600 * 72, "3.0 days")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_directions_and_measures():
    study = new_study(("accuracy", "macs"), ["maximize", "minimize"])
    assert better(study, "accuracy") == "larger is better"
    assert better(study, "params") == "smaller is better"
    assert better(study, "trial") == ""
    big = large(50)
    assert measures(big, read_trials(big)) == ["error", "macs", "params", "size_bytes"]
    four = awkward()["four"]
    assert measures(four, read_trials(four), 3) == ["error", "macs", "latency_ms", "size_bytes"]
