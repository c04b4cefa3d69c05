"""Small image folders, and the real images where they are at hand."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"

MakeImages = Callable[..., Path]


@pytest.fixture
def make_images() -> MakeImages:
    """Write `count` noise images of (width, height) `size` into `folder`, each file another image."""

    def make(folder: Path, count: int, size=(8, 8), mode="RGB", suffix=".png") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            generator = np.random.default_rng([i, *str(folder).encode()])
            shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
            pixels = generator.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{i:03}{suffix}")
        return folder

    return make


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not (SHARED / "fashion-mnist").is_dir():
        pytest.skip(f"the real images are not at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def cifar_folder(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 training and 20 test JPEGs of each of three classes of CIFAR-10, as train/CLASS and test/CLASS."""
    folder = tmp_path_factory.mktemp("cifar10")
    with zipfile.ZipFile(shared_data / "cifar10-jpeg-18k.zip") as packed:
        for split, count in (("train", 60), ("test", 20)):
            for name in ("cat", "dog", "ship"):
                inside = sorted(n for n in packed.namelist() if n.startswith(f"{split}/{name}/"))
                packed.extractall(folder, inside[:count])
    return folder
