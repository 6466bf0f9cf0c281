"""Where datasets come from: IDX files, a folder, a download over loopback HTTP."""

import gzip
import hashlib
import http.server
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from raybs.datasets.dataset import describe, load_arrays
from raybs.datasets.download import data_folder
from raybs.datasets.idx import IDX_TYPES, read_idx
from raybs.datasets.sources import fingerprint_of, read_parts

DEBIAN = Path("/usr/share/datasets/fashion-mnist")

NAMES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def idx(array, code=8):
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + array.tobytes()


@pytest.fixture
def parts():
    draw = np.random.default_rng(0)
    return {
        "x_train": draw.integers(0, 256, (30, 5, 4), np.uint8),
        "y_train": np.arange(30, dtype=np.uint8) % 3,
        "x_test": draw.integers(0, 256, (6, 5, 4), np.uint8),
        "y_test": np.arange(6, dtype=np.uint8) % 3,
    }


@pytest.fixture
def idx_folder(tmp_path, parts):
    """Some of the files packed, some not; one of them both."""
    folder = tmp_path / "idx"
    folder.mkdir()
    for part, name in NAMES.items():
        content = idx(parts[part])
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        if part == "y_train":
            (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYBS_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("code", IDX_TYPES)
def test_idx_files_of_every_type_are_read(tmp_path, code):
    array = np.arange(24).reshape(2, 3, 4).astype(IDX_TYPES[code])
    (tmp_path / "a.idx").write_bytes(idx(array, code))
    found = read_idx(tmp_path / "a.idx")
    np.testing.assert_array_equal(found, array)
    assert found.dtype.isnative


def test_a_folder_of_idx_files_is_a_dataset(idx_folder, parts):
    arrays = load_arrays(str(idx_folder))
    for part in parts:
        np.testing.assert_array_equal(getattr(arrays, part), parts[part])
    info = describe(str(idx_folder))
    assert (info.num_samples, info.num_features, info.num_classes) == (30, 20, 3)
    assert info.fingerprint == fingerprint_of(parts)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda content: content[:-1], "truncated or overlong: 29 bytes"),
        (lambda content: content + b"\0", "truncated or overlong: 31 bytes"),
        (lambda content: content[:6], "truncated|broken"),
        (lambda content: b"", "does not begin as one"),
        (lambda content: b"\1" + content[1:], "does not begin as one"),
        (lambda content: b"\0\0\7" + content[3:], "does not begin as one"),
    ],
)
def test_a_broken_idx_file_is_refused_by_its_name(idx_folder, parts, broken, words):
    path = idx_folder / NAMES["y_train"]
    path.write_bytes(broken(idx(parts["y_train"])))
    with pytest.raises(ValueError, match=f"{path}.*({words})"):
        load_arrays(str(idx_folder))


def test_a_packed_file_cut_off_is_refused(idx_folder):
    path = idx_folder / f"{NAMES['x_test']}.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=f"{path}.*broken"):
        load_arrays(str(idx_folder))


def test_a_folder_that_lacks_a_file_says_which(idx_folder):
    (idx_folder / f"{NAMES['x_test']}.gz").unlink()
    with pytest.raises(ValueError, match="has no t10k-images"):
        describe(str(idx_folder))


def test_a_changed_file_is_another_dataset(idx_folder, parts):
    before = describe(str(idx_folder)).fingerprint
    labels = (parts["y_train"] + 1) % 3
    (idx_folder / NAMES["y_train"]).write_bytes(idx(labels) + b"")
    assert describe(str(idx_folder)).fingerprint != before


@pytest.mark.parametrize("folder", ["fashion_mnist", "fashion-mnist"])
def test_a_name_is_looked_up_in_the_data_folder(cache, idx_folder, folder):
    cache.mkdir()
    idx_folder.rename(cache / folder)
    assert describe("fashion_mnist") == describe(str(cache / folder))


@pytest.fixture
def server(tmp_path):
    """Serves a folder on loopback; a file named in `cut` ends half-way."""
    cut: set[str] = set()
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            pass

        def do_GET(self):  # noqa: N802  # the library's name
            name = self.path.lstrip("/")
            if name not in cut:
                return super().do_GET()
            content = (folder / name).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield folder, cut, f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()
        thread.join()


@pytest.fixture
def mirror(server, parts, monkeypatch):
    """Fashion-MNIST's files are these small ones, at the loopback server."""
    folder, cut, url = server
    resources = []
    for part, name in NAMES.items():
        content = gzip.compress(idx(parts[part]))
        (folder / f"{name}.gz").write_bytes(content)
        resources.append((f"{name}.gz", hashlib.md5(content).hexdigest()))
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [url])
    monkeypatch.setattr(datasets.FashionMNIST, "resources", resources)
    return folder, cut


def test_a_dataset_is_downloaded_once_and_then_kept(cache, mirror, parts, capfd):
    folder, _ = mirror
    info = describe("fashion_mnist")
    assert info.fingerprint == fingerprint_of(parts)  # whatever the labels' type
    assert "Downloading fashion_mnist" in capfd.readouterr().out
    assert [path.name for path in cache.iterdir()] == ["fashion_mnist.npz"]
    for path in folder.iterdir():
        path.unlink()
    arrays = load_arrays("fashion_mnist")
    np.testing.assert_array_equal(arrays.x_train, parts["x_train"])
    assert describe("fashion_mnist") == info
    assert "Downloading" not in capfd.readouterr().out


@pytest.mark.parametrize("name", NAMES.values())
def test_a_download_that_fails_half_way_leaves_nothing(cache, mirror, name, capfd):
    _, cut = mirror
    cut.add(f"{name}.gz")
    with pytest.raises(
        ValueError, match="cannot be downloaded .*--data FOLDER"
    ) as error:
        describe("fashion_mnist")
    assert "Connect this machine" in str(error.value)
    assert list(cache.iterdir()) == []
    cut.clear()
    assert describe("fashion_mnist").num_samples == 30


def test_torchvisions_own_folder_is_read(cache, mirror, parts):
    datasets.FashionMNIST(cache, download=True)
    found = read_parts("fashion_mnist")
    np.testing.assert_array_equal(found["x_test"], parts["x_test"])
    assert not (cache / "fashion_mnist.npz").exists()


def test_offline_and_absent_is_an_error_that_names_both_ways(cache, monkeypatch):
    closed = "http://127.0.0.1:9/"  # discard: nobody listens there
    monkeypatch.setattr(datasets.KMNIST, "mirrors", [closed])
    with pytest.raises(ValueError, match="cannot be downloaded") as error:
        describe("kmnist")
    for words in (str(data_folder()), "Connect this machine", "--data", "kmnist.npz"):
        assert words in str(error.value)


def test_a_data_folder_that_cannot_be_made_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RAYBS_DATA", str(tmp_path / "file"))
    with pytest.raises(ValueError, match="cannot be downloaded"):
        describe("kmnist")


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs dataset-fashion-mnist")
def test_debians_fashion_mnist_is_the_one_that_is_known():
    info = describe(str(DEBIAN))
    assert (info.num_samples, info.num_features, info.num_classes) == (60_000, 784, 10)
    arrays = load_arrays(str(DEBIAN))
    # As widely used with torchvision: 0.2860 and 0.3530 of full scale.
    assert arrays.mean / 255 == pytest.approx(0.2860, abs=5e-5)
    assert arrays.deviation / 255 == pytest.approx(0.3530, abs=5e-5)
