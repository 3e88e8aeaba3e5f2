"""MNIST to 99 % in one epoch: about two seconds of training on two cores.

python examples/mnist_fast.py --seeds 0 1 2
python examples/mnist_fast.py --smoke       # 4,000 digits that are in the package: does it run?
"""

import argparse
import math

import numpy as np

import convnet
from convnet import Conv2d, Dense, Flatten, MaxPool2d, ReLU, Sequential, Trainer, WeightAverage
from convnet.data import digits, mnist
from convnet.data.transforms import RandomCrop
from convnet.optim import Adam, OneCycle

EPOCHS, BATCH_SIZE, MAX_LR = 1, 128, 1e-2


def network(seed):
    """Two convolutions, two dense layers: 215,000 parameters, most of them in the first dense layer."""
    rng = np.random.default_rng(seed)
    return Sequential(
        Conv2d(1, 24, 5, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Conv2d(24, 32, 3, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Dense(32 * 5 * 5, 256, rng=rng),
        ReLU(),
        Dense(256, 10, rng=rng),
    )


def run(seed, train, test):
    """Train once; return the accuracy on the test images in percent, and the seconds of training."""
    steps = EPOCHS * math.ceil(len(train[0]) / BATCH_SIZE)
    model, loss = network(seed), convnet.SoftmaxCrossEntropy(label_smoothing=0.1)
    optimizer, average = Adam(OneCycle(MAX_LR, steps)), WeightAverage(model, decay=0.98)
    trainer = Trainer(model, loss, optimizer, average=average)
    trainer.fit(train, epochs=EPOCHS, batch_size=BATCH_SIZE, rng=seed, augment=RandomCrop(1))
    return 100 * trainer.evaluate(test)["accuracy"], sum(epoch.seconds for epoch in trainer.history)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one training each")
    parser.add_argument("--smoke", action="store_true", help="one epoch on the package's digits")
    given = parser.parse_args()
    sets, results = digits() if given.smoke else mnist(), []
    for seed in given.seeds:
        results.append(run(seed, *sets))
        print(f"seed {seed}: {results[-1][0]:.2f} % of the test images, {results[-1][1]:.1f} s of training", flush=True)
    print("mean {:.2f} % and {:.1f} s, deviation {:.2f} %".format(*np.mean(results, 0), np.std(results, 0)[0]))
