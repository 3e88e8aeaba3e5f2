"""DataLoader: what a pass holds, what the seed decides, what the threads do."""

import threading
import time

import numpy as np
import pytest

from convnet.data import DataLoader
from convnet.data.transforms import Compose, RandomCrop
from convnet.errors import DTypeError, SettingError, ShapeError

N = 23


@pytest.fixture
def x():
    return np.arange(N * 6, dtype=np.uint8).reshape(N, 1, 2, 3)


@pytest.fixture
def y():
    return np.arange(N)


def noisy(x, rng):
    """Takes a time that is different for each batch, so that several workers finish in another order."""
    time.sleep(rng.uniform(0, 0.01))
    return x + rng.integers(0, 9, x.shape, np.uint8)


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("convnet-data")]


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("size", [1, 5, N, 99])
def test_a_pass_holds_every_image_once_with_its_target(x, y, workers, size):
    loader = DataLoader(x, y, size, workers=workers)
    batches = list(loader)
    assert len(batches) == len(loader)
    assert all(len(images) == size for images, _ in batches[:-1])
    images, targets = map(np.concatenate, zip(*batches, strict=True))
    np.testing.assert_array_equal(images, x[targets])
    assert sorted(targets) == list(range(N)) != list(targets)


def test_in_order_without_shuffle(x, y):
    images, targets = map(np.concatenate, zip(*DataLoader(x, y, 4, shuffle=False), strict=True))
    np.testing.assert_array_equal(images, x)
    np.testing.assert_array_equal(targets, y)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_the_number_of_workers_changes_nothing(x, y, workers):
    alone, shared = (DataLoader(x, y, 3, augment=noisy, rng=5, workers=count) for count in (0, workers))
    for _ in range(2):
        for (images, targets), (expected, expected_targets) in zip(shared, alone, strict=True):
            np.testing.assert_array_equal(images, expected)
            np.testing.assert_array_equal(targets, expected_targets)


def test_the_seed_decides_and_each_pass_and_batch_is_another():
    x, y = np.zeros((N, 8), np.uint8), np.zeros(N)

    def run(rng):
        return [images.tobytes() for _ in range(2) for images, _ in DataLoader(x, y, 1, augment=noisy, rng=rng)]

    loader = DataLoader(x, y, 1, augment=noisy, rng=3)
    passes = [images.tobytes() for _ in range(2) for images, _ in loader]
    assert len(set(passes)) == 2 * N
    assert run(3)[:N] == passes[:N] == run(np.random.default_rng(3))[:N]
    assert run(4)[:N] != passes[:N]


def test_the_state_of_the_generator_is_all_that_is_needed_to_go_on(x, y):
    rng = np.random.default_rng(0)
    loader = DataLoader(x, y, 4, augment=noisy, rng=rng)
    list(loader)
    again = np.random.default_rng(99)
    again.bit_generator.state = rng.bit_generator.state
    resumed = DataLoader(x, y, 4, augment=noisy, rng=again)
    for (images, targets), (expected, expected_targets) in zip(resumed, loader, strict=True):
        np.testing.assert_array_equal(images, expected)
        np.testing.assert_array_equal(targets, expected_targets)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_augment_runs_in_the_workers(x, y, workers):
    seen = set()

    def spy(images, rng):
        seen.add(threading.get_ident())
        time.sleep(0.01)
        return images

    list(DataLoader(x, y, 2, augment=spy, workers=workers))
    assert len(seen) == max(workers, 1)
    assert (threading.get_ident() in seen) == (workers == 0)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_is_at_most_two_batches_ahead(x, y, workers):
    made = []
    batches = iter(DataLoader(x, y, 1, augment=lambda images, rng: made.append(0) or images, workers=workers))
    for taken in range(1, 6):
        next(batches)
        due = time.monotonic() + 10  # on a busy machine
        while len(made) < taken + 2 * workers and time.monotonic() < due:
            time.sleep(0.001)
        time.sleep(0.01)
        assert len(made) == taken + 2 * workers


def test_leaving_early_ends_the_threads(x, y):
    for _ in DataLoader(x, y, 1, augment=noisy, workers=2):
        assert threads()
        break
    assert not threads()
    assert len(list(DataLoader(x, y, 1, augment=noisy, workers=2))) == N
    assert not threads()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_an_error_appears_where_its_batch_is_asked_for(workers):
    def fails_at_three(images, rng):
        if 3 in images:
            raise ValueError("three")
        return images

    x = np.arange(9)
    batches = iter(DataLoader(x[:, None], x, 1, shuffle=False, augment=fails_at_three, workers=workers))
    assert [int(next(batches)[1][0]) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(batches)
    assert not threads()


def test_nothing_is_written_to(x, y):
    x.flags.writeable = y.flags.writeable = False
    list(DataLoader(x, y, 4, augment=noisy))


def test_no_images(x, y):
    loader = DataLoader(x[:0], y[:0], augment=noisy)
    assert (len(loader), list(loader)) == (0, [])


class Squares:
    """A data set of single items, which notes who asks for them."""

    def __init__(self, n):
        self.n, self.askers = n, set()

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        assert type(index) is int
        self.askers.add(threading.get_ident())
        return np.full((1, 2, 2), index, np.uint8), index**2


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_data_set_gives_what_arrays_give(workers, shuffle):
    squares, numbers = Squares(N), np.arange(N)
    arrays = np.broadcast_to(numbers.astype(np.uint8).reshape(N, 1, 1, 1), (N, 1, 2, 2)), numbers**2
    settings = {"batch_size": 4, "shuffle": shuffle, "augment": noisy, "rng": 7, "workers": workers}
    ours, expected = DataLoader(squares, **settings), DataLoader(*arrays, **settings)
    assert (ours.x, ours.y, len(ours), ours.images) == (squares, None, len(expected), N)
    for (images, targets), (expected_images, expected_targets) in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(images, expected_images, strict=True)
        np.testing.assert_array_equal(targets, expected_targets, strict=True)
    assert (threading.get_ident() in squares.askers) == (workers == 0)


def test_a_list_of_pairs_is_a_data_set():
    pairs = [(np.zeros((1, 2, 2), np.float32), np.full(3, i, np.float32)) for i in range(5)]
    shapes = [(images.shape, targets.shape) for images, targets in DataLoader(pairs, batch_size=3)]
    assert shapes == [((3, 1, 2, 2), (3, 3)), ((2, 1, 2, 2), (2, 3))]


class Shelf:
    """A data set of batches, which leaves out odd numbers."""

    labels = range(6)
    ended = 0

    def __len__(self):
        return 6

    def __getitem__(self, index):
        raise AssertionError("asked for one item")

    def batch(self, indices):
        even = np.array([index for index in indices if index % 2 == 0], int)
        return even[:, None], even

    def end_pass(self):
        self.ended += 1


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_set_may_give_batches_and_leave_out_items(workers):
    shelf = Shelf()

    def augment(images, rng):
        assert len(images)
        return images

    loader = DataLoader(shelf, batch_size=1, shuffle=False, augment=augment, workers=workers)
    assert [targets.tolist() for _, targets in loader] == [[0], [2], [4]]
    assert shelf.ended == 1
    next(iter(loader))
    assert shelf.ended == 1  # as that pass was not finished
    np.testing.assert_array_equal(loader.y, np.arange(6))


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_file_in_memory_is_read_in_the_workers(x, y, shuffle, tmp_path):
    mapped = np.memmap(tmp_path / "x", np.uint8, "w+", shape=x.shape)
    mapped[...] = x
    batches = DataLoader(mapped, y, 5, shuffle=shuffle)
    for (images, targets), (expected, expected_targets) in zip(batches, DataLoader(x, y, 5, shuffle), strict=True):
        np.testing.assert_array_equal(images, expected)
        np.testing.assert_array_equal(targets, expected_targets)
        assert not np.shares_memory(images, mapped)
        assert not isinstance(images, np.memmap)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_images_and_targets_are_mixed_after_the_augmentation(x, y, workers):
    def mix(images, targets, rng):
        return images + rng.integers(0, 9, images.shape, np.uint8), targets * 2

    def both(images, rng):
        return mix(noisy(images, rng), 0, rng)[0]

    mixed = DataLoader(x, y, 4, augment=noisy, mix=mix, workers=workers)
    expected = DataLoader(x, y, 4, augment=both, workers=workers)
    for (images, targets), (expected_images, expected_targets) in zip(mixed, expected, strict=True):
        np.testing.assert_array_equal(images, expected_images)
        np.testing.assert_array_equal(targets, expected_targets * 2)
    alone = [targets for _, targets in DataLoader(x, y, 4, shuffle=False, mix=mix)]
    np.testing.assert_array_equal(np.concatenate(alone), y * 2)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pass_may_begin_at_any_batch(x, y, workers):
    whole = list(DataLoader(x, y, 4, augment=noisy, workers=workers))
    for first in (0, 1, 5, 6):
        rest = list(DataLoader(x, y, 4, augment=noisy, workers=workers).batches(first))
        assert len(rest) == 6 - first
        for (images, targets), (expected, expected_targets) in zip(rest, whole[first:], strict=True):
            np.testing.assert_array_equal(images, expected)
            np.testing.assert_array_equal(targets, expected_targets)


def test_whether_targets_are_classes(x, y):
    probabilities = np.full((N, 4), 0.25)
    assert [DataLoader(x, targets).classifies for targets in (y, probabilities, probabilities * 3, y[:, None])] == [
        True,
        True,
        False,
        False,
    ]
    assert DataLoader(Squares(3)).classifies is None
    assert DataLoader(Shelf()).classifies is True


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("items", "error", "text"),
    [
        ([np.zeros(3)], ShapeError, r"items \(image, target\), got a ndarray at index 0"),
        ([(np.zeros(3), 1), 7], ShapeError, r"items \(image, target\), got a int at index 1"),
        (
            [(np.zeros(3), 1), (np.zeros(2), 1)],
            ShapeError,
            r"images of one shape, got \(3,\) at index 0 and \(2,\) at index 1",
        ),
        (
            [(np.zeros(3), 1), (np.zeros(3, int), 1)],
            DTypeError,
            "images of one dtype, got float64 at index 0 and int64 at index 1",
        ),
        (
            [(np.zeros(3), 1), (np.zeros(3), [1])],
            ShapeError,
            r"targets of one shape, got \(\) at index 0 and \(1,\) at index 1",
        ),
        (
            [(np.zeros(3), 1), (np.zeros(3), 1.0)],
            DTypeError,
            "targets of one dtype, got int64 at index 0 and float64 at index 1",
        ),
    ],
)
def test_items_that_do_not_fit(items, error, text, workers):
    with pytest.raises(error, match=rf"^DataLoader: expected {text}$"):
        list(DataLoader(items, shuffle=False, workers=workers))


@pytest.mark.parametrize("data", [np.zeros((3, 4)), (np.zeros(3), np.zeros(3)), 7, "path", None])
def test_what_is_no_data_set(data):
    name = type(data).__name__
    text = rf"^DataLoader: expected x and y, or a data set with .* x\[i\] -> \(image, target\), got only a {name}$"
    with pytest.raises(DTypeError, match=text):
        DataLoader(data)


def test_errors(x, y):
    with pytest.raises(ShapeError, match=r"^DataLoader: expected x and y of shapes \(n, \.\.\.\), got .* and \(22,\)$"):
        DataLoader(x, y[1:])
    with pytest.raises(ShapeError, match=r"^DataLoader: expected x and y .*, got \(\) and \(\)$"):
        DataLoader(1, 2)
    with pytest.raises(
        SettingError, match=r"^DataLoader augment: expected a function of \(x, rng\), got <class .*Crop'"
    ):
        DataLoader(x, y, augment=RandomCrop)
    with pytest.raises(SettingError, match=r"^DataLoader mix: expected a function of \(x, y, rng\), got 0.2$"):
        DataLoader(x, y, mix=0.2)
    with pytest.raises(SettingError, match=r"^Compose: expected a function of \(x, rng\), got 4$"):
        Compose(4)
    with pytest.raises(SettingError, match=r"^DataLoader batch_size: expected an integer of at least 1, got 0$"):
        DataLoader(x, y, 0)
    with pytest.raises(SettingError, match=r"^DataLoader workers: expected an integer of at least 0, got -1$"):
        DataLoader(x, y, workers=-1)
