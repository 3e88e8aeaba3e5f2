"""MNIST to 99.7 % in three minutes on two cores; docs/accuracy.md tells what recipes reach.

python examples/mnist_best.py --seeds 0 1 2
python examples/mnist_best.py --smoke       # 4,000 digits that are in the package: does it run?
"""

import argparse
import math

import numpy as np

import convnet
from convnet import BatchNorm2d, Conv2d, Dense, Dropout, Flatten, MaxPool2d, ReLU, Sequential, Trainer, WeightAverage
from convnet.data import digits, mnist
from convnet.data.transforms import RandomAffine
from convnet.optim import AdamW, OneCycle, WeightsOnly

BATCH_SIZE, MAX_LR = 128, 1e-2
AUGMENT = RandomAffine(shift=2, rotation=12, scale=0.12, shear=0.12)


def network(seed):
    """Five 3x3 convolutions without padding, 28 pixels to 2: 144,000 parameters."""
    rng, layers, channels = np.random.default_rng(seed), [], 1
    for outputs, pool in (32, False), (32, True), (64, False), (64, True), (128, False):
        layers += [Conv2d(channels, outputs, 3, bias=False, rng=rng), BatchNorm2d(outputs), ReLU()]
        layers += [MaxPool2d(2)] if pool else []
        channels = outputs
    return Sequential(*layers, Flatten(), Dropout(0.4, rng=rng), Dense(128 * 2 * 2, 10, rng=rng))


def run(seed, epochs, train, test):
    """Train once; return the accuracy on the test images in percent, and the seconds of training."""
    model = network(seed)
    schedule = OneCycle(MAX_LR, epochs * math.ceil(len(train[0]) / BATCH_SIZE))
    optimizer = AdamW(schedule, weight_decay=WeightsOnly(0.01))
    loss, average = convnet.SoftmaxCrossEntropy(label_smoothing=0.1), WeightAverage(model, decay=0.995)
    trainer = Trainer(model, loss, optimizer, average=average)
    for epoch in trainer.iter_fit(train, epochs=epochs, batch_size=BATCH_SIZE, rng=seed, augment=AUGMENT):
        print(epoch, flush=True)
    return 100 * trainer.evaluate(test)["accuracy"], sum(epoch.seconds for epoch in trainer.history)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one training each")
    parser.add_argument("--smoke", action="store_true", help="one epoch on the package's digits")
    given = parser.parse_args()
    sets, results = digits() if given.smoke else mnist(), []
    for seed in given.seeds:
        results.append(run(seed, 1 if given.smoke else given.epochs, *sets))
        print(f"seed {seed}: {results[-1][0]:.2f} % of the test images, {results[-1][1]:.1f} s of training", flush=True)
    print("mean {:.2f} % and {:.1f} s, deviation {:.2f} %".format(*np.mean(results, 0), np.std(results, 0)[0]))
