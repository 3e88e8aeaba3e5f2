"""Downloads, from servers that the tests start on this machine."""

import functools
import hashlib
import http.server
import sys
import threading

import numpy as np
import pytest
from cifar10_files import small_cifar10  # noqa: F401 - a fixture

from convnet.data import _cifar10, cifar10, mnist
from convnet.data._download import download
from convnet.errors import DataError

FILES = {"images.gz": b"images" * 50_000, "labels.gz": b"labels"}
SHA256 = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and keeps the paths that were asked for."""

    def do_GET(self):
        self.server.requested.append(self.path)
        super().do_GET()

    def log_message(self, *args):
        """Says nothing on stderr."""


class BreakingHandler(Handler):
    """Promises a whole file, sends the first half and hangs up."""

    def copyfile(self, source, outputfile):
        content = source.read()
        outputfile.write(content[: len(content) // 2])


@pytest.fixture
def serve(monkeypatch):
    """Start a server of a folder on 127.0.0.1; its `url` and the paths `requested` of it are attributes."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    servers = []

    def serve(folder, handler=Handler):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
        server.requested = []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return server

    yield serve
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def mirror(tmp_path):
    """A folder with the right files."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def cache(tmp_path):
    pytest.importorskip("pooch", reason="downloads need pooch")
    return tmp_path / "cache"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_arrive_whole(serve, mirror, cache):
    folder = download("digits", SHA256, [serve(mirror).url], cache)
    assert folder == cache / "digits"
    assert contents(folder) == FILES


def test_slash_after_the_base_url(serve, mirror, cache):
    server = serve(mirror.parent)
    download("digits", SHA256, [f"{server.url}/mirror/"], cache)
    assert server.requested == ["/mirror/images.gz", "/mirror/labels.gz"]


def test_nothing_is_downloaded_twice(serve, mirror, cache):
    server = serve(mirror)
    download("digits", SHA256, [server.url], cache)
    server.requested.clear()
    assert contents(download("digits", SHA256, [server.url], cache)) == FILES
    assert server.requested == []


def test_damaged_file_in_the_cache_is_replaced(serve, mirror, cache):
    server = serve(mirror)
    folder = download("digits", SHA256, [server.url], cache)
    (folder / "labels.gz").write_bytes(b"damaged")
    server.requested.clear()
    download("digits", SHA256, [server.url], cache)
    assert contents(folder) == FILES
    assert server.requested == ["/labels.gz"]


@pytest.mark.parametrize("fault", ["absent", "altered", "cut short", "unreachable"])
def test_next_mirror_takes_over(serve, mirror, cache, tmp_path, fault):
    bad = tmp_path / "bad"
    bad.mkdir()
    if fault != "absent":
        (bad / "images.gz").write_bytes(FILES["images.gz"] if fault == "cut short" else b"altered")
        (bad / "labels.gz").write_bytes(FILES["labels.gz"])
    first = serve(bad, BreakingHandler if fault == "cut short" else Handler)
    if fault == "unreachable":
        first.server_close()
    folder = download("digits", SHA256, [first.url, serve(mirror).url], cache)
    assert contents(folder) == FILES


def test_altered_file_is_refused_and_not_kept(serve, mirror, cache):
    (mirror / "labels.gz").write_bytes(b"altered")
    server = serve(mirror)
    with pytest.raises(DataError) as caught:
        download("digits", SHA256, [server.url], cache)
    text = str(caught.value)
    assert text.startswith(f"digits: expected labels.gz, got from {server.url}/labels.gz: SHA256 hash")
    assert SHA256["labels.gz"] in text
    assert hashlib.sha256(b"altered").hexdigest() in text
    assert contents(cache / "digits") == {"images.gz": FILES["images.gz"]}


def test_file_cut_short_is_refused_and_not_kept(serve, mirror, cache):
    with pytest.raises(DataError, match=r"^digits: expected images\.gz, got from"):
        download("digits", SHA256, [serve(mirror, BreakingHandler).url], cache)
    assert contents(cache / "digits") == {}


def test_all_mirrors_are_named_when_all_fail(serve, tmp_path, cache):
    servers = [serve(tmp_path), serve(tmp_path)]
    with pytest.raises(DataError) as caught:
        download("digits", SHA256, [server.url for server in servers], cache)
    for server in servers:
        assert f"from {server.url}/images.gz: 404" in str(caught.value)


def test_no_mirror(cache):
    with pytest.raises(DataError, match=r"^digits: expected images\.gz, got no mirror to download it from$"):
        download("digits", SHA256, [], cache)


def test_cache_that_is_a_file(serve, mirror, cache):
    cache.write_bytes(b"")
    with pytest.raises(DataError, match=r"^digits: expected images\.gz, got from"):
        download("digits", SHA256, [serve(mirror).url], cache)


@pytest.mark.parametrize("one", [True, False], ids=["one mirror", "two mirrors"])
def test_mnist_asks_the_given_mirrors(serve, tmp_path, cache, monkeypatch, one):
    """Files that are not the published ones are refused, whatever is in them."""
    monkeypatch.setenv("CONVNET_DATA", str(tmp_path / "empty"))
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"not MNIST")
    servers = [serve(tmp_path)] if one else [serve(tmp_path), serve(tmp_path)]
    mirrors = servers[0].url if one else [server.url for server in servers]
    with pytest.raises(DataError, match=r"^mnist: expected train-images-idx3-ubyte.gz, got from .*440fcabf"):
        mnist(mirrors=mirrors, cache=cache)
    assert [server.requested for server in servers] == [["/train-images-idx3-ubyte.gz"]] * len(servers)
    assert contents(cache / "mnist") == {}


def test_mnist_downloads_the_published_files(serve, convnet_data, cache, monkeypatch):
    published = convnet_data / "mnist"
    if not published.is_dir():
        pytest.skip("$CONVNET_DATA has no folder mnist")
    monkeypatch.delenv("CONVNET_DATA")
    server = serve(published)
    downloaded = mnist(mirrors=server.url, cache=cache)
    assert len(server.requested) == 4
    for split, expected in zip(downloaded, mnist(published), strict=True):
        for array, expected_array in zip(split, expected, strict=True):
            np.testing.assert_array_equal(array, expected_array)


def test_other_hashes_have_their_name_in_front(serve, mirror, cache):
    md5 = {name: f"md5:{hashlib.md5(content).hexdigest()}" for name, content in FILES.items()}
    assert contents(download("digits", md5, [serve(mirror).url], cache)) == FILES
    (mirror / "labels.gz").write_bytes(b"altered")
    with pytest.raises(DataError, match=r"labels\.gz, got .*MD5"):
        download("altered", md5, [serve(mirror).url], cache)


@pytest.mark.parametrize("fault", ["none", "altered", "cut short"])
def test_cifar10_downloads_its_archive(serve, small_cifar10, tmp_path, cache, monkeypatch, fault):  # noqa: F811
    monkeypatch.delenv("CONVNET_DATA", raising=False)
    archive = small_cifar10.write_archive(tmp_path)
    digest = hashlib.md5(archive.read_bytes()).hexdigest()
    monkeypatch.setitem(_cifar10._SOURCE.hashes, archive.name, f"md5:{digest}")
    if fault == "altered":
        archive.write_bytes(archive.read_bytes() + b"!")
    server = serve(tmp_path, BreakingHandler if fault == "cut short" else Handler)
    if fault == "none":
        small_cifar10.check(cifar10(mirrors=server.url, cache=cache))
        small_cifar10.check(cifar10(mirrors=server.url, cache=cache))  # from the cache
        assert [path.name for path in (cache / "cifar10").iterdir()] == [archive.name]
    else:
        with pytest.raises(DataError, match=r"^cifar10: expected cifar-10-binary\.tar\.gz, got from .*"):
            cifar10(mirrors=server.url, cache=cache)
        assert contents(cache / "cifar10") == {}
    assert server.requested == [f"/{archive.name}"]


def test_cifar10_refuses_another_archive(serve, tmp_path, cache, monkeypatch):
    monkeypatch.setenv("CONVNET_DATA", str(tmp_path / "empty"))
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"not CIFAR-10")
    with pytest.raises(DataError, match=r"^cifar10: expected cifar-10-binary\.tar\.gz, got .*c32a1d4ab5d03f12"):
        cifar10(mirrors=serve(tmp_path).url, cache=cache)
    assert contents(cache / "cifar10") == {}


def test_given_folder_is_never_completed_by_a_download(serve, tmp_path, cache):
    server = serve(tmp_path)
    with pytest.raises(DataError, match=r"got neither$"):
        mnist(tmp_path, mirrors=server.url, cache=cache)
    assert server.requested == []


@pytest.mark.parametrize("convnet_data_set", [True, False])
def test_without_pooch(tmp_path, monkeypatch, convnet_data_set):
    monkeypatch.setitem(sys.modules, "pooch", None)
    if convnet_data_set:
        monkeypatch.setenv("CONVNET_DATA", str(tmp_path))
    else:
        monkeypatch.delenv("CONVNET_DATA", raising=False)
    with pytest.raises(DataError, match=r'^mnist: expected .*pip install "convnet-cpu\[data\]"$'):
        mnist()
