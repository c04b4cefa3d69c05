"""The picture of a front before and after deployment."""

from matplotlib.figure import Figure

from optnas.report.deployed import draw_deployed, save_deployed

FRONTS = {"searched": [(1.0, 0.2), (2.0, 0.1)], "litert, int8": [(1.5, 0.05)], "onnxruntime, fp32": []}


def test_each_front_is_named_with_how_many_it_has(tmp_path):
    axes = Figure().subplots()
    draw_deployed(FRONTS, "latency_ms", "error", axes)
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["searched (2)", "litert, int8 (1)", "onnxruntime, fp32 (0)"]
    assert axes.get_ylabel() == "validation error (%), smaller is better"
    save_deployed(FRONTS, "latency_ms", "error", "a $ b", tmp_path / "front.png")
    assert (tmp_path / "front.png").stat().st_size > 0
