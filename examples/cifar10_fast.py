"""CIFAR-10 to 91 % in minutes on two cores; docs/accuracy.md tells what it reaches.

python examples/cifar10_fast.py --seeds 0 1 2
python examples/cifar10_fast.py --seeds 0 1 2 --epochs 26    # 94 % in half an hour
python examples/cifar10_fast.py --smoke                      # digits as coloured images: does it run?
"""

import argparse
import math

import numpy as np

import convnet
from convnet import BatchNorm2d, Conv2d, Dense, Flatten, MaxPool2d, ReLU, Sequential, Trainer, WeightAverage
from convnet.data import cifar10, digits
from convnet.data.transforms import Compose, Normalize, RandomCrop
from convnet.layers import Frozen
from convnet.optim import SGD, OneCycle, WeightsOnly

MAX_LR, MOMENTUM, DECAY = 0.5, 0.9, 1.3e-3
NORMALIZE = Normalize(mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))


def whitening(images):
    """A fixed convolution: the 16 strongest principal components of 3x3 patches, of variance 1, and minus those."""
    patches = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(2, 3)).transpose(1, 4, 5, 0, 2, 3)
    variances, vectors = np.linalg.eigh(np.cov(patches.reshape(27, -1)))
    filters = (vectors / np.sqrt(variances + 1e-2)).T[-16:].reshape(16, 3, 3, 3)
    conv = Conv2d(3, 32, 3, padding=1, bias=False)
    conv.weight.value[...] = np.concatenate([filters, -filters])
    return Frozen(conv)


def network(seed, images, width):
    """Fixed patches, then six 3x3 convolutions with batch normalisation, 32 pixels to 4."""
    rng, channels, layers = np.random.default_rng(seed), 32, [whitening(images), ReLU()]
    for outputs in (width, 4 * width, 4 * width):
        for inputs, pool in ((channels, [MaxPool2d(2)]), (outputs, [])):
            conv, same = Conv2d(inputs, outputs, 3, padding=1, bias=False, rng=rng), range(min(inputs, outputs))
            conv.weight.value[same] = 0
            conv.weight.value[same, same, 1, 1] = 1  # the first filters hand on their channel as it is
            layers += [conv, BatchNorm2d(outputs), ReLU(), *pool]
        channels = outputs
    layers[-2].weight.value *= 0.125  # small logits at first: the learning rate is too high for large ones
    return Sequential(*layers, MaxPool2d(4), Flatten(), Dense(channels, 10, rng=rng))


def run(seed, epochs, batch_size, width, train, test):
    """Train once; return the accuracy on the test images in percent, and the seconds of training."""
    model, rng, seconds = network(seed, NORMALIZE(train[0][:2000]), width), np.random.default_rng(seed), 0.0
    schedule = OneCycle(MAX_LR, epochs * math.ceil(len(train[0]) / batch_size), pct_start=0.25)
    optimizer = SGD(schedule, MOMENTUM, nesterov=True, weight_decay=WeightsOnly(DECAY))
    loss, average = convnet.SoftmaxCrossEntropy(label_smoothing=0.2), WeightAverage(model, decay=0.98)
    trainer, augment = Trainer(model, loss, optimizer, average=average), Compose(RandomCrop(2, "reflect"), NORMALIZE)
    turned = rng.random(len(train[0])) < 0.5
    images = np.where(turned[:, None, None, None], train[0][..., ::-1], train[0])
    for _ in range(epochs):
        print(trainer.fit((images, train[1]), batch_size=batch_size, rng=rng, augment=augment), flush=True)
        images, seconds = images[..., ::-1], seconds + trainer.history[-1].seconds  # mirror images every other epoch
    padded = np.pad(NORMALIZE(test[0]), [(0, 0)] * 2 + [(1, 1)] * 2, "reflect")
    views = [padded[..., i : i + 32, i : i + 32] for i in (0, 1, 1, 2)]  # as it is, twice, and shifted by a pixel
    logits = sum(trainer.predict(view) + trainer.predict(view[..., ::-1]) for view in views)
    return 100 * np.mean(logits.argmax(axis=1) == test[1]), seconds


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one training each")
    parser.add_argument("--smoke", action="store_true", help="one epoch of a small network on the package's digits")
    given, results = parser.parse_args(), []
    sets = [(np.pad(x, [(0, 0)] * 2 + [(2, 2)] * 2).repeat(3, 1), y) for x, y in digits()] if given.smoke else cifar10()
    for seed in given.seeds:
        results.append(run(seed, *((1, 64, 8) if given.smoke else (given.epochs, 512, 64)), *sets))
        print(f"seed {seed}: {results[-1][0]:.2f} % of the test images, {results[-1][1]:.1f} s of training", flush=True)
    print("mean {:.2f} % and {:.1f} s, deviation {:.2f} %".format(*np.mean(results, 0), np.std(results, 0)[0]))
