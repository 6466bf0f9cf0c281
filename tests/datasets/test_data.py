import hashlib
import struct
from dataclasses import replace

import numpy as np
import pytest

from raybs.datasets.dataset import describe, load_arrays
from raybs.datasets.tensors import to_device

IDX_MD5 = {
    "x_train": "6bbc9ace898e44ae57da46a324031adb",
    "y_train": "a25bea736e30d166cdddb491f175f624",
    "x_test": "2646ac647ad5339dbf082846283269ea",
    "y_test": "27ae3e4e09519cfbb04c329615203637",
}
"""Of the original files, uncompressed."""


def idx(array: np.ndarray) -> bytes:
    """Encode as LeCun's files: magic number, sizes in big endian, bytes."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def test_the_bundled_mnist_is_the_original():
    arrays = load_arrays("mnist")
    for part, expected in IDX_MD5.items():
        assert hashlib.md5(idx(getattr(arrays, part))).hexdigest() == expected


def test_mnist_is_standardized_by_its_known_mean_and_deviation():
    arrays = load_arrays("mnist")
    assert arrays.mean / 255 == pytest.approx(0.1307, abs=5e-5)
    assert arrays.deviation / 255 == pytest.approx(0.3081, abs=5e-5)


def test_mnist_is_described_without_reading_its_images():
    info = describe("mnist")
    assert (info.num_samples, info.num_features, info.num_classes) == (60000, 784, 10)


def test_images_on_the_device_have_mean_0_and_deviation_1(subset):
    images = subset.data.train_images.double()
    assert images.shape == (230, 784)
    assert images.mean().item() == pytest.approx(0, abs=1e-6)
    assert images.std(correction=0).item() == pytest.approx(1, abs=1e-6)
    slow = (subset.arrays.x_train[7].ravel() - np.float64(subset.arrays.mean)) / (
        subset.arrays.deviation
    )
    np.testing.assert_allclose(images[7].numpy(), slow, rtol=1e-5, atol=1e-6)


def test_read_only_arrays_from_a_shared_memory_are_fine(subset):
    images = subset.arrays.x_train.view()
    images.flags.writeable = False
    data = to_device(replace(subset.arrays, x_train=images), "cpu")
    assert data.train_images.equal(subset.data.train_images)
    assert data.num_classes == 10


RIGHT = {
    "x_train": np.arange(40, dtype=np.uint8).reshape(10, 2, 2),
    "y_train": np.arange(10) % 2,
    "x_test": np.ones((3, 2, 2), np.uint8),
    "y_test": np.zeros(3, int),
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x_test": None}, "cannot be read"),
        ({"y_train": np.zeros(9, int)}, r"y_train \(9,\)"),
        ({"y_test": np.zeros(3)}, "float64"),
        ({"x_train": np.full((10, 2, 2), 7, np.uint8)}, "deviation 0"),
        ({"x_train": np.full((10, 2, 2), np.nan)}, "x_train must hold finite"),
        ({"x_test": np.full((3, 2, 2), np.inf)}, "x_test must hold finite"),
        ({"x_train": np.ones((10, 2, 2), complex)}, "complex128"),
        ({"x_train": np.ones((10, 3, 2))}, r"\(3, 2\) in x_train and \(2, 2\)"),
        ({"y_train": np.arange(10) - 1}, "y_train is empty, or has labels"),
        ({"y_test": np.full(3, 10)}, "y_test is empty, or has labels"),
        ({"x_test": np.ones((0, 2, 2)), "y_test": np.ones(0, int)}, "y_test is empty"),
        ({"x_train": np.array([{"a": 1}] * 10, dtype=object)}, "cannot be read"),
        (
            {"x_train": np.ones((10, 0)), "x_test": np.ones((3, 0))},
            r"x_train has shape",
        ),
        ({"y_train": np.ones(10, int)}, "y_train has one class only, 1"),
        ({"y_test": np.full(3, 5)}, "y_test has the label 5, of which there is no"),
    ],
)
def test_a_wrong_npz_is_refused_with_what_is_wrong(tmp_path, change, words):
    path = tmp_path / "wrong.npz"
    parts = {name: a for name, a in (RIGHT | change).items() if a is not None}
    np.savez(path, **parts, allow_pickle=True)
    with pytest.raises(ValueError, match=words):
        load_arrays(str(path))


@pytest.mark.parametrize("name", ["mnits", "missing.npz"])
def test_an_unknown_dataset_is_refused(name):
    with pytest.raises(ValueError, match=name):
        describe(name)


@pytest.mark.parametrize(
    "change",
    [
        {"x_train": np.array(3)},
        {"y_train": np.ones(0)},
        {"y_train": np.array(["one"] * 10)},
        {"y_train": np.array(["2026-01-01"] * 10, "datetime64")},
        {"y_train": np.full(10, np.inf)},
    ],
)
def test_what_cannot_be_described_is_refused(tmp_path, change):
    path = tmp_path / "wrong.npz"
    np.savez(path, **(RIGHT | change))
    with pytest.raises(ValueError, match="cannot be read"):
        describe(str(path))


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    path = tmp_path / "broken.npz"
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ValueError, match="cannot be read"):
        describe(str(path))


def test_an_archive_damaged_inside_is_refused(tmp_path):
    path = tmp_path / "damaged.npz"
    np.savez_compressed(path, **RIGHT)
    content = bytearray(path.read_bytes())
    middle = content.index(b"y_train.npy") + 30
    content[middle : middle + 40] = b"\xff" * 40
    path.write_bytes(bytes(content))
    for read in (describe, load_arrays):
        with pytest.raises(ValueError, match="cannot be read"):
            read(str(path))


def test_finite_half_precision_is_fine(tmp_path):
    large = np.full((10, 20, 20), 200, np.float16)  # whose sum is not
    large[0] = 0
    path = tmp_path / "half.npz"
    np.savez(path, **(RIGHT | {"x_train": large, "x_test": large[:3]}))
    assert load_arrays(str(path)).mean == pytest.approx(180)
