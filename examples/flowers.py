"""Transfer learning: a network that knows CIFAR-10 learns to tell flowers from a few photographs.

python examples/flowers.py FOLDER --weights resnet20_cifar10.safetensors   # FOLDER/train/roses/1.jpg, FOLDER/val/...
python examples/flowers.py FOLDER --weights resnet20_cifar10.onnx          # the network from an ONNX file
python examples/flowers.py --smoke                                         # digits as photographs: does it run?
"""

import argparse
import math

import numpy as np

import convnet.onnx
from convnet import Dense, SoftmaxCrossEntropy, Trainer, freeze
from convnet.data import ImageFolder, digits
from convnet.data.transforms import Compose, Normalize, RandomCrop, RandomHorizontalFlip
from convnet.metrics import classification_report
from convnet.models import resnet20
from convnet.optim import SGD, OneCycle, WeightsOnly

BATCH_SIZE, MOMENTUM, DECAY = 16, 0.9, 5e-4
NORMALIZE = Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))  # what the weights were trained with


def known(weights, seed):
    """The network: with the weights of a file, as an ONNX file has it, or new."""
    if weights is None:
        return resnet20(rng=seed)
    return convnet.onnx.load(weights) if weights.endswith(".onnx") else convnet.load(resnet20(), weights)


def train(model, data, epochs, max_lr, seed):
    """Train what is not frozen in ``model``; return the trainer and the seconds that it took."""
    schedule = OneCycle(max_lr, epochs * math.ceil(len(data[0]) / BATCH_SIZE))
    optimizer = SGD(schedule, MOMENTUM, nesterov=True, weight_decay=WeightsOnly(DECAY))
    trainer = Trainer(model, SoftmaxCrossEntropy(label_smoothing=0.1), optimizer)
    augment = Compose(RandomCrop(8, "reflect"), RandomHorizontalFlip(), NORMALIZE)
    for epoch in trainer.iter_fit(data, epochs=epochs, batch_size=BATCH_SIZE, rng=seed, augment=augment):
        print(epoch, flush=True)
    return trainer, sum(epoch.seconds for epoch in trainer.history)


def run(model, training, validation, classes, epochs, seed):
    """Train a new head, then everything; print how each class is told, return accuracy in percent and seconds."""
    model = model.replaced("linear", Dense(64, len(classes), rng=seed))
    print("the head, on features that stay as they are")
    _, first = train(freeze(model, until="linear"), training, epochs, 0.05, seed)
    print("everything")
    trainer, then = train(model, training, 2 * epochs, 0.05, seed)
    images, labels = validation
    outputs = trainer.predict(NORMALIZE(images))
    print(classification_report(outputs, labels, classes=classes))
    return 100 * np.mean(outputs.argmax(axis=1) == labels), first + then


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="with the folders train and val, which have one folder a class")
    parser.add_argument(
        "--weights",
        help="of a resnet20 for CIFAR-10, or it as an ONNX file; without, all is learnt",
    )
    parser.add_argument("--size", type=int, default=64, help="photographs are scaled to so many pixels a side")
    parser.add_argument("--epochs", type=int, default=10, help="for the head; twice as many follow for everything")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one training each")
    parser.add_argument("--smoke", action="store_true", help="few epochs on some of the package's digits")
    given = parser.parse_args()
    if given.smoke:
        sets, classes = [(x[:1000].repeat(3, 1), y[:1000]) for x, y in digits()], [str(i) for i in range(10)]
    elif given.folder is None:
        parser.error("expected a folder, or --smoke")
    else:
        folders = [ImageFolder(f"{given.folder}/{part}", size=given.size) for part in ("train", "val")]
        sets, classes = [folder.load(workers=2) for folder in folders], folders[0].classes
    results = []
    for seed in given.seeds:
        results.append(run(known(given.weights, seed), *sets, classes, 2 if given.smoke else given.epochs, seed))
        print(f"seed {seed}: {results[-1][0]:.2f} % of the photographs left out, {results[-1][1]:.1f} s", flush=True)
    print("mean {:.2f} % and {:.1f} s, deviation {:.2f} %".format(*np.mean(results, 0), np.std(results, 0)[0]))
