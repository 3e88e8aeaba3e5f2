"""DataLoader: what a pass holds, what the seed decides, what the threads do."""

import threading
import time

import numpy as np
import pytest

from convnet.data import DataLoader
from convnet.errors import SettingError, ShapeError

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


def test_errors(x, y):
    with pytest.raises(ShapeError, match=r"^DataLoader: expected x and y of shapes \(n, \.\.\.\), got .* and \(22,\)$"):
        DataLoader(x, y[1:])
    with pytest.raises(ShapeError, match=r"^DataLoader: expected x and y .*, got \(\) and \(\)$"):
        DataLoader(1, 2)
    with pytest.raises(SettingError, match=r"^DataLoader batch_size: expected an integer of at least 1, got 0$"):
        DataLoader(x, y, 0)
    with pytest.raises(SettingError, match=r"^DataLoader workers: expected an integer of at least 0, got -1$"):
        DataLoader(x, y, workers=-1)
