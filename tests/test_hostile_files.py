"""Files from elsewhere: tables, images, weights, archives. None of them runs anything, and none takes all memory."""

import ast
import gzip
import json
import os
import pickle
import re
import struct
import warnings
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image

import optnas
from optnas.bench import curves, table
from optnas.cost import load_table
from optnas.deploy.card import ExportedFile, card
from optnas.deploy.checkpoint import Facts
from optnas.deploy.images import to_pixels
from optnas.errors import UsageError
from optnas.supernet.state import load_state
from optnas.task import folder, known
from optnas.task.weights import read_notes

#: By file, or by how its path begins: who may do what a file from elsewhere must never have done.
ALLOWED = {
    # Between a process and its own workers.
    "cloudpickle.loads": ("study/executor.py", "study/ray_executor.py", "study/worker.py"),
    "shell=True": ("cost/remote.py",),  # the command that a person gives
    "import_module": ("space/load.py", "task/vision.py"),  # what a person names, and torchvision
}


_UNPICKLERS = ("pickle", "cloudpickle", "dill", "joblib", "marshal", "yaml")


class Mark:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_in_the_package_can_execute_a_file():
    found = {}
    for path in sorted(Path(optnas.__file__).parent.rglob("*.py")):
        name = path.relative_to(Path(optnas.__file__).parent).as_posix()
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            for danger in _dangers(call):
                found.setdefault(danger, []).append(name)
    assert set(found) == set(ALLOWED)  # and the search for them works
    for danger, names in found.items():
        assert all(name.startswith(ALLOWED[danger]) for name in names), (danger, names)


def _dangers(call):
    words, keywords = ast.unparse(call.func), {one.arg: ast.unparse(one.value) for one in call.keywords}
    owner, _, last = words.rpartition(".")
    if not owner and last in ("eval", "exec", "__import__"):
        yield last
    if last in ("load", "loads", "Unpickler") and owner in (
        "pickle",
        "cloudpickle",
        "dill",
        "joblib",
        "marshal",
        "yaml",
    ):
        yield words
    if last in ("extractall", "unpack_archive", "import_module", "read_pickle"):
        yield last
    if words == "torch.load" or (words in ("np.load", "numpy.load") and keywords.get("allow_pickle") != "False"):
        yield words
    if keywords.get("shell") == "True" or words in ("os.system", "os.popen"):
        yield "shell=True"


def test_pickles_are_not_loaded_whatever_their_name(tmp_path):
    mark = tmp_path / "mark"
    for name in ("a.npz", "a.json", "a.safetensors", "a.csv.gz"):
        (tmp_path / name).write_bytes(pickle.dumps(Mark(mark)))
    np.savez(tmp_path / "objects.npz", error=np.array([[Mark(mark)]], dtype=object))
    torch.save(Mark(mark), tmp_path / "torch.safetensors")
    for read, name in (
        (curves.load_curves, "a.npz"), (curves.load_curves, "objects.npz"), (load_table, "a.json"),
        (table.load_table, "a.csv.gz"), (optnas.load_model, "a.safetensors"), (optnas.load_model, "torch.safetensors"),
        (load_state, "torch.safetensors"), (read_notes, "torch.safetensors"),
    ):  # fmt: skip
        with pytest.raises(UsageError):
            read(tmp_path / name)
    assert not mark.exists()
    pickle.loads((tmp_path / "a.npz").read_bytes())
    assert mark.exists()


def test_pickles_in_the_place_of_a_data_set_are_not_loaded(tmp_path):
    mark, batches = tmp_path / "mark", tmp_path / "cifar-10-batches-py"
    batches.mkdir()
    for name in (
        "data_batch_1",
        "data_batch_2",
        "data_batch_3",
        "data_batch_4",
        "data_batch_5",
        "test_batch",
        "batches.meta",
    ):
        (batches / name).write_bytes(pickle.dumps(Mark(mark)))
    with pytest.raises(RuntimeError, match="not found or corrupted"):
        known._cifar10(tmp_path, "train", False)
    assert not mark.exists()


def test_json_that_is_nested_without_end_is_no_table(tmp_path):
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 200_000)
    with pytest.raises(UsageError, match="got something else"):
        load_table(deep)
    header = json.dumps({"__metadata__": {"optnas": "[" * 200_000}}).encode()
    (tmp_path / "deep.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(UsageError, match="RecursionError"):
        optnas.load_model(tmp_path / "deep.safetensors")


def test_an_archive_that_unpacks_to_more_than_memory_is_refused(tmp_path, monkeypatch):
    header = np.lib.format.magic(1, 0)
    text = str({"descr": "<f8", "fortran_order": False, "shape": (1 << 40, 100)}).ljust(117) + "\n"
    with zipfile.ZipFile(tmp_path / "claims.npz", "w") as archive:
        archive.writestr("error.npy", header + struct.pack("<H", len(text)) + text.encode())
    with pytest.raises(UsageError, match="expected an npz file of plain arrays"):
        curves.load_curves(tmp_path / "claims.npz")
    np.savez_compressed(tmp_path / "zeros.npz", error=np.zeros((1000, 100)))
    assert curves.load_curves(tmp_path / "zeros.npz").error.shape == (1000, 100)
    monkeypatch.setattr(curves, "_MOST_BYTES", 100_000)
    with pytest.raises(UsageError, match=r"at most 100,000 bytes unpacked, got 800,\d+"):
        curves.load_curves(tmp_path / "zeros.npz")


@pytest.mark.parametrize("line", ["a,b\n", "a"])
def test_a_table_that_unpacks_to_more_than_memory_is_refused(tmp_path, monkeypatch, line):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(("x_op,error\n" + 100_000 * line).encode()))
    monkeypatch.setattr(table, "_MOST_SIGNS", 50_000)
    with pytest.raises(UsageError, match=r"at most 50,000 characters, got more|field larger than field limit"):
        table.load_table(tmp_path / "a.csv.gz")


def png_that_claims(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_few_bytes_that_claim_to_be_a_huge_image_are_no_image(tmp_path):
    (tmp_path / "bomb.png").write_bytes(png_that_claims(12_000, 12_000))  # Pillow itself only warns
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in `optnas`
        assert folder._decode(tmp_path / "bomb.png", 8, "RGB") is None
        with pytest.raises(UsageError, match="expected at most 89,478,485 pixels, got 12000 x 12000"):
            to_pixels(tmp_path / "bomb.png", (3, 8, 8))


def test_a_program_is_no_image_whatever_its_ending(tmp_path, monkeypatch):
    Image.new("RGB", (8, 8)).save(tmp_path / "program.eps")
    (tmp_path / "program.eps").rename(tmp_path / "program.jpg")
    started = []
    monkeypatch.setattr(
        EpsImagePlugin, "Ghostscript", lambda *given: started.append(given) or Image.new("RGB", (8, 8)).im
    )
    with Image.open(tmp_path / "program.jpg") as opened:
        opened.load()
    assert started.pop()  # Pillow would start it
    assert folder._decode(tmp_path / "program.jpg", 8, "RGB") is None
    with pytest.raises(UsageError, match="cannot be decoded"):
        to_pixels(tmp_path / "program.jpg", (3, 8, 8))
    assert not started


def test_a_pipe_among_the_images_is_passed_over(tmp_path):
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        for index in range(4):
            Image.new("L", (8, 8), 20 * index).save(tmp_path / name / f"{index}.png")
    os.mkfifo(tmp_path / "cats" / "pipe.png")
    train, val, _ = folder.read_search(tmp_path, None, 0)
    assert train.skipped == val.skipped == ()


def test_what_weights_say_of_themselves_is_text_in_their_card():
    evil = '<img src=x onerror=alert(1)> [a](javascript:alert(1)) `\n# head | "); import os; os.abort() #'
    facts = Facts(
        study=evil, trial=1, choices={evil: evil}, space=evil, fingerprint=evil, input_shape=(1, 8, 8), classes=(evil,),
        mean=(0.5,), std=(0.2,), data={"data": evil, evil: evil}, costs={}, search_error=0.1, seed=0, error=0.1,
        looks=(evil,), versions={evil: evil}, date=evil,
    )  # fmt: skip
    file = ExportedFile("network.safetensors", "safetensors", "fp32", 1000, note=evil)
    text, snippet = "", ""
    for place, part in enumerate(card(facts, [file]).split("```")):
        text, snippet = (text, snippet + part.removeprefix("python\n")) if place % 2 else (text + part, snippet)
    assert not re.search(r"(?<!\\)[<`\[]", text.replace("[network.safetensors](", ""))
    assert "\n# head" not in text
    (print_call,) = [node for node in ast.walk(ast.parse(snippet)) if isinstance(node, ast.Call) and node.keywords]
    assert ast.literal_eval(print_call.keywords[0].value) == evil
    assert "abort" not in {node.attr for node in ast.walk(ast.parse(snippet)) if isinstance(node, ast.Attribute)}
    assert card(replace(facts, study="digits")).startswith("# digits, trial 1\n")
