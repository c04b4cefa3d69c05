"""Pictures of networks: what is written where, in both backends, for readers with light, dark and small pages."""

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from browser import visit
from matplotlib.figure import Figure
from torch import nn

from optnas.errors import UsageError
from optnas.report.blocks import Block, trial_blocks
from optnas.report.network import (
    compare_svg,
    draw_difference,
    draw_network,
    network_svg,
    save_blocks,
    save_difference,
    save_network,
)
from optnas.space import SPACES, ReplayTrial, bind_space

MOBILE = {
    "activation": "relu", "stem.width": 16, "stage1.width": 12, "stage1.se": False, "stage1.block1.op": "mb3_k5",
    "stage1.block2.op": "skip", "stage1.block3.op": "mb1_k7", "stage2.width": 24, "stage2.se": True,
    "stage2.block1.op": "mb6_k3", "stage2.block2.op": "skip", "stage2.block3.op": "skip", "head.width": 64,
}  # fmt: skip
CELL = {f"edge{i}": op for i, op in enumerate(["skip", "none", "conv1x1", "skip", "conv3x3", "skip"])}
SVG = "{http://www.w3.org/2000/svg}"


def space(name, shape=(1, 8, 8)):
    return bind_space(SPACES[name], shape, 10)


@pytest.fixture(scope="module")
def mobile():
    return trial_blocks(space("mobile"), (1, 8, 8), MOBILE)


@pytest.fixture(scope="module")
def cells():
    return trial_blocks(space("cell"), (1, 8, 8), CELL)


def block(kind="conv 3x3", **facts):
    return Block(**{"kind": kind, "kernel": 3, "channels": 4, "size": (8, 8), "params": 10, "macs": 100, **facts})


def texts(document):
    return [element.text for element in ElementTree.fromstring(document).iter(f"{SVG}text")]


def tips(document):
    return [element.text for element in ElementTree.fromstring(document).iter(f"{SVG}title")]


def rectangles(document):
    return [element.attrib for element in ElementTree.fromstring(document).iter(f"{SVG}rect")]


def test_a_document_tells_stages_blocks_and_where_the_multiply_adds_are(mobile):
    document = network_svg(mobile, "Trial 3")
    written = texts(document)
    assert written[:2] == ["Trial 3", "9 blocks, 340 k MACs (64% in stage 1), 12.3 k parameters"]
    for text in ("stage 1: 8×8", "64% of the MACs", "stage 2: 4×4", "vector", "conv", "3×3", "mb3_k5", "expand 3"):
        assert text in written
    assert "163 k" in written  # 64·(16·48 + 48·25 + 48·12), as in tests/report/test_blocks.py
    assert tips(document)[1].splitlines() == [
        "stage1.block1.op: mb3_k5",
        "stage 1, 8×8, 16 to 12 channels, kernel 5, expansion 3",
        "163 k MACs (47.9%), 2.76 k parameters",
        "Conv2d, BatchNorm2d, ReLU",
    ]
    assert len(tips(document)) == len(mobile)
    assert len(document.encode()) < 8_000


def test_the_more_pixels_the_taller_and_dashed_without_weights():
    sizes = [(8, 8), (8, 8), (2, 2)]
    kinds = [("a", 5, 10), ("b", 0, 0), ("c", 7, 10)]
    blocks = [
        block(kind, kernel=kernel, size=size, params=params, macs=params)
        for (kind, kernel, params), size in zip(kinds, sizes, strict=True)
    ]
    boxes = [one for one in rectangles(network_svg(blocks)) if "rx" in one]
    heights = [float(one["height"]) for one in boxes]
    assert heights[0] == heights[1] > heights[2]
    assert ["stroke-dasharray" in one for one in boxes] == [False, True, False]
    assert len({one["fill"] for one in boxes}) == 3


def test_bars_are_as_long_as_the_multiply_adds():
    document = network_svg([block("a", macs=400), block("b", macs=200), block("c", macs=0)])
    heights = [float(one["height"]) for one in rectangles(document) if one["fill"] == "#e69f00"]
    assert heights[0] == pytest.approx(2 * heights[1], abs=0.5)
    assert heights[2] < 1


def test_equal_blocks_in_a_row_are_one(cells):
    written = texts(network_svg(cells))
    assert written.count("5× Cell") == 3
    assert written.count("4× skip") == 0
    assert written.count("3× skip") == 3
    assert len(tips(network_svg(cells))) == 7  # stem, cells, reduction, cells, reduction, cells, classifier
    assert tips(network_svg(cells))[1].startswith("5 times Cell\nstage 1, 8×8")


@pytest.mark.parametrize("width", [200, 270, 612, 2000])
def test_long_networks_go_on_in_further_rows(width):
    blocks = [block(f"block{place}", stage=1 + place // 7, size=(64 >> place // 7,) * 2) for place in range(60)]
    document = network_svg(blocks, "sixty of them", width)
    root = ElementTree.fromstring(document)
    _, _, wide, high = map(float, root.get("viewBox").split())
    assert wide <= width
    assert [text for text in texts(document) if text.startswith("block")] == [one.kind for one in blocks]
    for element in root.iter():
        assert 0 <= float(element.get("x", 0)) + float(element.get("width", "0").removesuffix("pt")) <= wide
        assert 0 <= float(element.get("y", 0)) <= high


@pytest.mark.parametrize(
    "name",
    [
        "</title><script>alert(1)</script>",
        '" onload="alert(1)',
        "a\x00\x1b[31mb\u202ec\ud800",
        "$x_1$ & <b>",
        "x" * 5000,
    ],
)
def test_names_of_a_storage_are_no_code(name, tmp_path):
    blocks = [block(name, choice=name, parts=((name, name),)), block(name, macs=None, size=(4, 4), stage=2)]
    for document in (network_svg(blocks, name), compare_svg(blocks, blocks[:1], (name, name))):
        root = ElementTree.fromstring(document.encode())  # refuses what is no text, or not well formed
        assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
            "svg", "style", "g", "title", "rect", "line", "text",
        }  # fmt: skip
        assert not any(key.startswith("on") for element in root.iter() for key in element.attrib)
    if name.isprintable():
        save_blocks(blocks, tmp_path / "network.png", name)
    save_blocks(blocks, tmp_path / "network.svg", name)


def test_networks_without_much_to_draw():
    assert texts(network_svg([]))[0] == "no blocks"
    assert texts(network_svg([], "Trial 3"))[:2] == ["Trial 3", "no blocks"]
    assert "MACs" not in texts(network_svg([block(macs=None)]))
    assert texts(network_svg([block()]))[0] == "1 block, 100 MACs, 10 parameters"
    assert texts(compare_svg([], []))[0] == "left and right are built alike"
    assert texts(compare_svg([block()], []))[0] == "right against left: 1 of 1 blocks differ, -100"


def test_long_kinds_are_broken_between_words_or_cut():
    written = texts(network_svg([block("InvertedResidual"), block("depthwise 5x5", kernel=5), block("x" * 40)]))
    assert [text for text in written if text in ("Inverted", "Residual")] == ["Inverted", "Residual"]
    assert "5×5" in written
    assert any(re.fullmatch("x+…", text) for text in written)


def test_what_differs_is_outlined_and_told(mobile):
    changed = trial_blocks(space("mobile"), (1, 8, 8), {**MOBILE, "stage1.block1.op": "mb3_k7", "head.width": 32})
    document = compare_svg(mobile, changed, ("trial 3", "trial 5"))
    outlined = [one for one in rectangles(document) if one.get("stroke") == "#d55e00"]
    assert len(outlined) == 2 * 2  # two blocks in both networks; the classifier only takes in less
    written = texts(document)
    assert written[0].startswith("trial 5 against trial 3: 2 of 9 blocks differ, +")
    assert "stage1.block1.op: kernel 5 → 7, +73.7 k MACs, +1.15 k parameters" in written
    assert "+73.7 k" in written
    assert "−12.3 k" in written  # 16·24·32
    assert sum("different: kernel 5 -> 7" in tip for tip in tips(document)) == 2


def test_a_block_that_one_network_lacks_leaves_its_place_empty():
    left, right = [block("a"), block("b"), block("c")], [block("a"), block("c")]
    document = compare_svg(left, right)
    (gap,) = [tip for tip in tips(document) if tip == "b removed"]
    assert gap
    assert " ".join(texts(document)[:2]).startswith("right against left: 1 of 3 blocks differ, -100 MACs (-33%)")


@pytest.mark.parametrize("size", [(6.5, 3), (2, 5)])
def test_axes_of_any_size(mobile, cells, size):
    figure = Figure(figsize=size)
    upper, lower = figure.subplots(2)
    draw_network(mobile, upper, "$stage_1$")
    draw_difference(mobile, [replace(one, kernel=5) for one in mobile], lower, ("a", "b"))
    figure.canvas.draw()
    for axes in (upper, lower):
        box, frame = axes.get_tightbbox(), figure.bbox
        assert box.x0 >= frame.x0
        assert box.x1 <= frame.x1 + 1
        assert box.y1 - box.y0 <= frame.height
    assert "$stage_1$" in [text.get_text() for text in upper.texts]
    draw_network([], figure.subplots())


@pytest.mark.parametrize(("name", "choices"), [("mobile", MOBILE), ("cell", CELL)])
def test_files(name, choices, tmp_path):
    network = space(name)(ReplayTrial(choices))
    save_network(network, (1, 8, 8), tmp_path / "network.png", choices)
    save_network(network, (1, 8, 8), tmp_path / "network.svg", choices)
    assert (tmp_path / "network.png").read_bytes().startswith(b"\x89PNG")
    blocks = trial_blocks(space(name), (1, 8, 8), choices)
    assert (tmp_path / "network.svg").read_text() == network_svg(blocks)
    save_difference(blocks, blocks[1:], tmp_path / "both.pdf")
    assert (tmp_path / "both.pdf").read_bytes().startswith(b"%PDF")
    for path in ("network.xyz", "nowhere/network.svg", "."):
        with pytest.raises(UsageError, match="picture"):
            save_blocks(blocks, tmp_path / path)
    assert {path.name for path in tmp_path.iterdir()} == {"network.png", "network.svg", "both.pdf"}


def test_a_network_of_one_layer(tmp_path):
    save_network(nn.Linear(8, 3), (8,), tmp_path / "network.svg")
    assert texts((tmp_path / "network.svg").read_text())[0] == "1 block, 24 MACs, 27 parameters"


_COLOURS = """() => {
    const drawing = document.querySelector('svg'), style = getComputedStyle(drawing)
    return [getComputedStyle(drawing.querySelector('text')).fill, style.backgroundColor]
}"""


@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_shows_it_on_light_and_dark_pages(mobile, tmp_path, dark):
    path = Path(tmp_path, "network.svg")
    path.write_text(network_svg(mobile, "Trial 3"), encoding="utf-8")
    inlined = Path(tmp_path, "page.html")
    inlined.write_text(f"<body style='color: rgb(1, 2, 3)'>{network_svg(mobile)}</body>", encoding="utf-8")
    with visit(width=360, dark=dark) as seen:
        seen.page.goto(path.as_uri())
        ink, paper = ([int(number) for number in re.findall(r"\d+", colour)] for colour in seen.page.evaluate(_COLOURS))
        assert (sum(ink[:3]) > sum(paper[:3])) == dark
        assert abs(sum(ink[:3]) - sum(paper[:3])) > 500
        seen.page.goto(inlined.as_uri())
        assert seen.page.evaluate(_COLOURS) == ["rgb(1, 2, 3)", "rgba(0, 0, 0, 0)"]
        assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert seen.errors == []
