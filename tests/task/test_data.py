import gzip
import pickle
import urllib.request
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from optnas.errors import UsageError
from optnas.task import DataSettings, adopt_images, load_images, load_test
from optnas.task.data import _moments
from optnas.task.vision import import_torchvision

DIGITS = DataSettings("digits")


def rows(x: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in x}


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def test_digits_are_scaled_from_16_to_255():
    images = load_images(DIGITS)
    assert (images.train_x.dtype, images.train_y.dtype) == (torch.uint8, torch.int64)
    assert images.input_shape == (1, 8, 8)
    assert (int(images.train_x.min()), int(images.train_x.max())) == (0, 255)
    assert len(images.train_x.unique()) == 17


def test_digits_are_split_60_20_20():
    images, test = load_images(DIGITS), load_test(DIGITS)
    sizes = [len(images.train_y), len(images.val_y), len(test.y)]
    assert sum(sizes) == 1797
    assert [round(100 * size / 1797) for size in sizes] == [60, 20, 20]
    fifth = [36, 36, 35, 37, 36, 36, 36, 36, 35, 36]  # of 178, 182, 177, 183, 181, 182, 181, 179, 174, 180
    assert torch.bincount(images.val_y).tolist() == fifth


def test_the_three_parts_of_digits_share_no_image():
    assert len(rows(torch.from_numpy(load_digits().images))) == 1797  # no two alike, so bytes tell them apart
    for seed in (0, 1):
        settings = replace(DIGITS, split_seed=seed)
        images, test = load_images(settings), load_test(settings)
        train, val, held_out = rows(images.train_x), rows(images.val_x), rows(test.x)
        assert not train & val
        assert not held_out & (train | val)


def test_mean_and_deviation_are_those_of_the_training_images_alone():
    images = load_images(DIGITS)
    pixels = images.train_x.numpy() / 255
    assert images.mean == pytest.approx([pixels.mean()], abs=1e-12)
    assert images.std == pytest.approx([pixels.std()], abs=1e-12)


def test_moments_are_taken_by_channel_and_a_flat_channel_can_be_divided_by():
    x = torch.tensor([[0, 51], [255, 51]], dtype=torch.uint8).view(2, 2, 1, 1)
    mean, std = _moments(x)
    assert mean == pytest.approx((0.5, 0.2))
    assert std == pytest.approx((0.5, 1 / 255))


def test_val_images_limits_validation_and_not_training():
    few, all_of_them = load_images(replace(DIGITS, val_images=50)), load_images(DIGITS)
    assert len(few.val_y) == 50
    assert few.val_y.bincount().tolist() == [5] * 10
    assert torch.equal(few.train_x, all_of_them.train_x)
    with pytest.raises(UsageError, match=r"expected val_images from 10 .* validation images\) of digits, got 9"):
        load_images(replace(DIGITS, val_images=9))


def test_train_images_limits_training_and_not_validation():
    few = load_images(replace(DIGITS, train_images=50))
    assert torch.bincount(few.train_y).tolist() == [5] * 10
    assert torch.equal(few.val_x, load_images(DIGITS).val_x)
    assert rows(few.train_x) <= rows(load_images(DIGITS).train_x)


@pytest.mark.parametrize("count", [9, 1080])
def test_an_impossible_number_of_training_images_is_refused(count):
    with pytest.raises(UsageError, match=rf"from 10 .* to 1079 .* of digits, got {count}"):
        load_images(replace(DIGITS, train_images=count))


def test_images_are_loaded_once():
    assert load_images(DIGITS) is load_images(DataSettings("digits"))


def test_the_digest_tells_content_and_not_place():
    digest = load_images(DIGITS).digest
    assert digest == load_images(replace(DIGITS, data_root="/elsewhere")).digest
    assert digest != load_images(replace(DIGITS, split_seed=1)).digest
    images = load_images(DIGITS)
    changed = images.val_x.clone()
    changed[0, 0, 0, 0] += 1
    assert digest != replace(images, val_x=changed).digest


def test_image_size_resizes_all_parts():
    settings = replace(DIGITS, image_size=16)
    images = load_images(settings)
    assert images.input_shape == (1, 16, 16)
    assert images.train_x.dtype == torch.uint8
    assert images.train_x.float().mean() == pytest.approx(load_images(DIGITS).train_x.float().mean(), abs=1)
    assert load_test(settings).x.shape[1:] == (1, 16, 16)


@pytest.mark.parametrize("data", ["mnist", "imagefolder:", "", None, 3])
def test_an_unknown_name_is_refused_with_the_known_ones(data):
    with pytest.raises(UsageError, match="digits, fashion-mnist, cifar10, imagefolder:DIR"):
        load_images(DataSettings(data))


def test_torchvision_imports_beside_any_torch():
    torchvision = import_torchvision()
    assert torchvision.datasets.FashionMNIST
    assert import_torchvision() is torchvision


def write_idx(folder, split, x, y):
    header = np.array([0x803, *x.shape], ">i4").tobytes()
    (folder / f"{split}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + x.tobytes()))
    header = np.array([0x801, len(y)], ">i4").tobytes()
    (folder / f"{split}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(header + y.tobytes()))


@pytest.mark.parametrize("inside", ["", "fashion-mnist"])
def test_fashion_mnist_is_read_from_its_gz_files(tmp_path, inside, no_network):
    generator = np.random.default_rng(0)
    folder = tmp_path / inside
    folder.mkdir(exist_ok=True)
    x = generator.integers(0, 256, (600, 28, 28), dtype=np.uint8)
    write_idx(folder, "train", x, np.arange(600, dtype=np.uint8) % 10)
    write_idx(folder, "t10k", x[:20, ::-1], np.arange(20, dtype=np.uint8) % 10)
    settings = DataSettings("fashion-mnist", str(tmp_path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("optnas.task.known._VALIDATION_IMAGES", 60)
        images = load_images(settings)
    assert (len(images.train_y), len(images.val_y)) == (540, 60)
    assert rows(images.train_x) | rows(images.val_x) == rows(torch.from_numpy(x))
    test = load_test(settings)
    assert np.array_equal(test.x[:, 0].numpy(), x[:20, ::-1])
    assert test.y.tolist() == list(range(10)) * 2


def test_a_search_never_unpacks_the_test_files_of_fashion_mnist(tmp_path, no_network):
    x = np.zeros((600, 28, 28), dtype=np.uint8)
    write_idx(tmp_path, "train", x, np.arange(600, dtype=np.uint8) % 10)
    for file in ("images-idx3", "labels-idx1"):
        (tmp_path / f"t10k-{file}-ubyte.gz").write_bytes(b"no gzip at all")
    settings = DataSettings("fashion-mnist", str(tmp_path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("optnas.task.known._VALIDATION_IMAGES", 60)
        assert len(load_images(settings).train_y) == 540
    with pytest.raises(UsageError, match="expected whole files of fashion-mnist in data_root"):
        load_test(settings)


def test_cifar10_is_read_from_its_batches(tmp_path, monkeypatch, no_network):
    cifar10 = import_torchvision().datasets.CIFAR10
    monkeypatch.setattr(cifar10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("optnas.task.data.known._VALIDATION_IMAGES", 10)
    monkeypatch.setitem(cifar10.meta, "md5", None)
    folder = tmp_path / cifar10.base_folder
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 3 * 32 * 32), dtype=np.uint8)
    for name, _ in cifar10.train_list + cifar10.test_list:
        content = {"data": pixels, "labels": [i % 10 for i in range(20)]}
        (folder / name).write_bytes(pickle.dumps(content))
    names = [f"class {i}" for i in range(10)]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    settings = DataSettings("cifar10", str(tmp_path))
    images = load_images(settings)
    assert (len(images.train_y), len(images.val_y), images.classes) == (90, 10, tuple(names))
    assert torch.equal(load_test(settings).x.flatten(1), torch.from_numpy(pixels))  # red, green, blue planes


@pytest.mark.parametrize("data", ["fashion-mnist", "cifar10"])
def test_without_files_or_network_one_sentence_says_what_to_bring(tmp_path, no_network, data):
    root = tmp_path / "data"
    with pytest.raises(UsageError) as caught:
        load_images(DataSettings(data, str(root)))
    message = str(caught.value)
    assert str(root) in message
    assert "https://" in message
    assert "\n" not in message
    assert not root.exists()  # nothing half-downloaded is left


def test_a_data_root_that_cannot_be_is_refused(tmp_path, no_network):
    with pytest.raises(UsageError, match=r"existing folder as data_root for cifar10, got .*nowhere"):
        load_images(DataSettings("cifar10", str(tmp_path / "nowhere" / "data")))
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UsageError, match=r"expected a folder as data_root .* got the file"):
        load_images(DataSettings("fashion-mnist", str(file)))


@pytest.mark.slow
def test_the_real_fashion_mnist(shared_data):
    """Sizes and moments are the published ones (0.2860 and 0.3530 over all 60 000)."""
    settings = DataSettings("fashion-mnist", str(shared_data / "fashion-mnist"))
    images, test = load_images(settings), load_test(settings)
    assert torch.bincount(images.train_y).tolist() == [5500] * 10
    assert torch.bincount(images.val_y).tolist() == [500] * 10
    assert torch.bincount(test.y).tolist() == [1000] * 10
    assert images.mean == pytest.approx([0.2860], abs=5e-4)
    assert images.std == pytest.approx([0.3530], abs=5e-4)


def test_images_that_were_adopted_are_taken_for_those_settings_alone(monkeypatch, tmp_path):
    monkeypatch.setattr("optnas.task.data._adopted", {})
    nowhere = DataSettings(f"imagefolder:{tmp_path / 'nowhere'}")
    images = load_images(DIGITS)
    adopt_images(nowhere, images)
    assert load_images(nowhere) is images
    with pytest.raises(UsageError):
        load_images(replace(nowhere, split_seed=1))
