import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from optnas.errors import UsageError
from optnas.task import DataSettings, load_images, load_test


def settings(folder, **kwargs) -> DataSettings:
    return DataSettings(f"imagefolder:{folder}", **kwargs)


def rows(x: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in x}


@pytest.fixture
def opened(monkeypatch):
    """The names of all files that Pillow was asked to open."""
    names = []
    open_image = Image.open

    def record(path, *args, **kwargs):
        names.append(str(path))
        return open_image(path, *args, **kwargs)

    monkeypatch.setattr(Image, "open", record)
    return names


def test_class_folders_are_split_70_15_15_and_share_no_image(tmp_path, make_images, opened):
    make_images(tmp_path / "b", 20)
    make_images(tmp_path / "a", 40)
    images = load_images(settings(tmp_path))
    assert images.classes == ("a", "b")
    assert torch.bincount(images.train_y).tolist() == [28, 14]
    assert torch.bincount(images.val_y).tolist() == [6, 3]
    assert len(set(opened)) == 51  # of 60: the 9 test files stay closed
    test = load_test(settings(tmp_path))
    assert torch.bincount(test.y).tolist() == [6, 3]
    train, val, held_out = rows(images.train_x), rows(images.val_x), rows(test.x)
    assert (len(train), len(val), len(held_out)) == (42, 9, 9)
    assert len(train | val | held_out) == 60


def test_a_search_never_opens_the_test_folder(tmp_path, make_images, opened):
    for name in ("cat", "dog"):
        make_images(tmp_path / "train" / name, 20)
        make_images(tmp_path / "test" / name, 5)
    images = load_images(settings(tmp_path))
    assert (len(images.train_y), len(images.val_y)) == (34, 6)
    assert len(opened) == 40
    assert not [name for name in opened if str(tmp_path / "test") in name]
    assert torch.bincount(load_test(settings(tmp_path)).y).tolist() == [5, 5]
    assert len(opened) == 50


def test_a_validation_folder_is_taken_as_it_is(tmp_path, make_images):
    for name in ("cat", "dog"):
        make_images(tmp_path / "train" / name, 4)
        make_images(tmp_path / "val" / name, 3)
    images = load_images(settings(tmp_path))
    assert (len(images.train_y), len(images.val_y)) == (8, 6)
    with pytest.raises(UsageError, match=r"expected test images in .*test, got none"):
        load_test(settings(tmp_path))


def test_pixels_and_labels_come_as_they_are(tmp_path):
    for level, name in ((10, "dark"), (200, "light")):
        (tmp_path / name).mkdir()
        for i in range(4):
            colour = (level, i, 255 - level)
            Image.new("RGB", (3, 2), colour).save(tmp_path / name / f"{i}.png")
    images = load_images(settings(tmp_path))
    assert images.input_shape == (3, 2, 3)
    for x, y in zip(images.train_x, images.train_y, strict=True):
        assert x[0].unique().tolist() == [(10, 200)[y]]
        assert x[2].unique().tolist() == [(245, 55)[y]]


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".Png", ".bmp", ".webp", ".ppm"])
def test_all_formats_are_read_in_any_case(tmp_path, make_images, suffix):
    for name in ("a", "b"):
        make_images(tmp_path / name, 4, suffix=suffix)
        (tmp_path / name / "notes.txt").write_text("no image")
        (tmp_path / name / f"._0{suffix}").write_bytes(b"left behind by a system")
    images = load_images(settings(tmp_path))
    assert len(images.train_y) + len(images.val_y) == 6
    assert images.skipped == ()


def test_grey_images_have_one_channel_whatever_their_format(tmp_path, make_images):
    make_images(tmp_path / "train" / "a", 4, mode="L")
    make_images(tmp_path / "train" / "b", 4, mode="L")
    make_images(tmp_path / "test" / "a", 1)
    make_images(tmp_path / "test" / "b", 1, mode="L")
    Image.open(tmp_path / "train" / "a" / "000.png").convert("RGB").save(tmp_path / "train" / "a" / "000.png")
    assert load_images(settings(tmp_path)).input_shape == (1, 8, 8)
    assert load_test(settings(tmp_path)).x.shape == (2, 1, 8, 8)


def test_one_coloured_image_makes_three_channels(tmp_path, make_images):
    make_images(tmp_path / "train" / "a", 4, mode="L")
    make_images(tmp_path / "train" / "b", 4)
    assert load_images(settings(tmp_path)).input_shape == (3, 8, 8)


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path):
    for level, name in ((0x1000, "a"), (0xFF00, "b")):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.fromarray(np.full((4, 4), level, np.uint16)).save(tmp_path / name / f"{i}.png")
    images = load_images(settings(tmp_path))
    assert images.train_x[:, 0, 0, 0].tolist() == [0x10, 0xFF]


def test_the_orientation_of_a_camera_is_followed(tmp_path, make_images):
    for name in ("a", "b"):
        for i in range(3):
            exif = Image.Exif()
            exif[0x0112] = 6  # rotate by 90 degrees to show
            (tmp_path / name).mkdir(exist_ok=True)
            Image.new("RGB", (6, 4)).save(tmp_path / name / f"{i}.jpg", exif=exif)
    assert load_images(settings(tmp_path)).input_shape == (1, 6, 4)


def test_several_sizes_are_named_and_counted(tmp_path, make_images):
    make_images(tmp_path / "train" / "a", 4, size=(8, 8))
    make_images(tmp_path / "train" / "b", 3, size=(9, 8))
    with pytest.raises(UsageError, match=r"got 8x8 \(4\), 8x9 \(3\): pass --image-size"):
        load_images(settings(tmp_path))
    assert load_images(settings(tmp_path, image_size=6)).input_shape == (3, 6, 6)


def test_image_size_takes_the_centre(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(3):
            image = Image.new("RGB", (40, 20), "black")
            image.paste((255, 0, 0), (10, 0, 30, 20))
            image.save(tmp_path / name / f"{i}.png")
    x = load_images(settings(tmp_path, image_size=10)).train_x
    assert x.shape[1:] == (3, 10, 10)
    assert (x[:, 0, :, 1:-1] == 255).all()  # the filter mixes some black into the outermost columns
    assert (x[:, 0] > 200).all()
    assert (x[:, 1:] == 0).all()


def test_broken_files_are_skipped_and_named(tmp_path, make_images):
    for name in ("a", "b"):
        make_images(tmp_path / "train" / name, 10)
    (tmp_path / "train" / "a" / "003.png").write_bytes(b"no image")
    cut = (tmp_path / "train" / "b" / "004.png").read_bytes()[:-60]
    (tmp_path / "train" / "b" / "004.png").write_bytes(cut)
    images = load_images(settings(tmp_path))
    assert images.skipped == ("train/a/003.png", "train/b/004.png")
    assert len(images.train_y) + len(images.val_y) == 18


def test_half_may_be_broken_and_one_more_may_not(tmp_path, make_images):
    for name in ("a", "b"):
        make_images(tmp_path / "train" / name, 6)
        make_images(tmp_path / "val" / name, 2)
    for i in range(4):
        for name in ("a", "b"):
            (tmp_path / "train" / name / f"{i:03}.png").write_bytes(b"")
    assert len(load_images(settings(tmp_path)).skipped) == 8
    again = shutil.copytree(tmp_path, tmp_path.with_name("again"))
    (again / "train" / "a" / "004.png").write_bytes(b"")
    with pytest.raises(UsageError, match=r"got 9 of 16 files that cannot be decoded, the first .*000\.png"):
        load_images(settings(again))


def test_a_class_with_broken_files_only_is_refused(tmp_path, make_images):
    make_images(tmp_path / "train" / "a", 10)
    make_images(tmp_path / "train" / "b", 3)
    for file in (tmp_path / "train" / "b").iterdir():
        file.write_bytes(b"")
    with pytest.raises(UsageError, match="expected images of the class b among the training images"):
        load_images(settings(tmp_path))


def test_other_classes_in_the_test_folder_are_refused_before_a_search(tmp_path, make_images):
    for name in ("cat", "dog"):
        make_images(tmp_path / "train" / name, 3)
    make_images(tmp_path / "test" / "cat", 1)
    make_images(tmp_path / "test" / "horse", 1)
    with pytest.raises(UsageError, match=r"expected the same classes .* got dog, horse in one of them only"):
        load_images(settings(tmp_path))


def test_test_images_of_another_size_are_refused(tmp_path, make_images):
    for name in ("cat", "dog"):
        make_images(tmp_path / "train" / name, 3)
        make_images(tmp_path / "test" / name, 3, size=(9, 9))
    with pytest.raises(UsageError, match=r"expected test images of 8x8 pixels .* got 9x9"):
        load_test(settings(tmp_path))


def test_what_is_no_image_folder_is_refused(tmp_path, make_images):
    with pytest.raises(UsageError, match=r"expected a folder of images, found nothing at .*nowhere"):
        load_images(settings(tmp_path / "nowhere"))
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="found a file at"):
        load_images(settings(tmp_path / "file"))
    make_images(tmp_path / "loose", 3)
    with pytest.raises(UsageError, match=r"two or more classes in .*loose, got none"):
        load_images(settings(tmp_path / "loose"))
    make_images(tmp_path / "single" / "cat", 3)
    with pytest.raises(UsageError, match=r"two or more classes in .*single, got only cat"):
        load_images(settings(tmp_path / "single"))
    make_images(tmp_path / "flat" / "train", 3)
    make_images(tmp_path / "flat" / "test", 3)
    with pytest.raises(UsageError, match=r"expected a folder for each class inside .*flat/test, got none"):
        load_images(settings(tmp_path / "flat"))
    make_images(tmp_path / "empty" / "cat", 3)
    (tmp_path / "empty" / "dog").mkdir()
    with pytest.raises(UsageError, match=r"at least 3 images .* in the class folder .*dog, got 0"):
        load_images(settings(tmp_path / "empty"))


@pytest.mark.parametrize("what", ["pathlib.Path.iterdir", "PIL.Image.open"])
def test_no_permission_is_said(tmp_path, make_images, monkeypatch, what):
    make_images(tmp_path / "a", 3)
    make_images(tmp_path / "b", 3)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(what, refuse)
    with pytest.raises(UsageError, match="got no permission for"):
        load_images(settings(tmp_path))


def test_the_digest_is_the_same_wherever_the_folder_lies(tmp_path, make_images):
    make_images(tmp_path / "here" / "a", 5)
    make_images(tmp_path / "here" / "b", 5)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    here, there = (load_images(settings(tmp_path / name)) for name in ("here", "there"))
    assert here.digest == there.digest


def test_real_jpegs(cifar_folder):
    images, test = load_images(settings(cifar_folder)), load_test(settings(cifar_folder))
    assert images.classes == ("cat", "dog", "ship")
    assert images.input_shape == (3, 32, 32)
    assert (len(images.train_y), len(images.val_y), len(test.y)) == (153, 27, 60)
    assert images.skipped == ()
    assert not rows(test.x) & (rows(images.train_x) | rows(images.val_x))
