"""The deeper networks as somebody would write them in PyTorch, with the names that torchvision gives their weights."""

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, pad


def simple_cnn(classes, in_channels):
    return nn.Sequential(
        nn.Conv2d(in_channels, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(1568, 64), nn.ReLU(), nn.Linear(64, classes),
    )  # fmt: skip


def lenet(classes, in_channels):
    return nn.Sequential(
        nn.Conv2d(in_channels, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes),
    )  # fmt: skip


def features_of_2012(in_channels):
    response = 5, 5e-4, 0.75, 2.0
    return nn.Sequential(
        nn.Conv2d(in_channels, 96, 11, 4, 2), nn.ReLU(), nn.LocalResponseNorm(*response), nn.MaxPool2d(3, 2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), nn.LocalResponseNorm(*response), nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2),
    )  # fmt: skip


class AlexNet(nn.Module):
    def __init__(self, classes, in_channels, hidden, original=False):
        super().__init__()
        self.features = features_of_2012(in_channels) if original else nn.Sequential(
            nn.Conv2d(in_channels, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            nn.Dropout(0), nn.Linear(9216, hidden), nn.ReLU(),
            nn.Dropout(0), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes),
        )  # fmt: skip

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class VGG(nn.Module):
    def __init__(self, plan, classes, in_channels, hidden, batch_norm=False):
        super().__init__()
        layers = []
        for step in plan.split():
            if step == "M":
                layers.append(nn.MaxPool2d(2))
                continue
            layers.append(nn.Conv2d(in_channels, int(step), 3, padding=1))
            layers += [nn.BatchNorm2d(int(step))] * batch_norm
            layers.append(nn.ReLU())
            in_channels = int(step)
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(25088, hidden), nn.ReLU(), nn.Dropout(0),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(0), nn.Linear(hidden, classes),
        )  # fmt: skip

    forward = AlexNet.forward


class Block(nn.Module):
    """Two 3x3 convolutions, or with ``expand`` a 1x1, a 3x3 and a 1x1 one."""

    def __init__(self, inputs, width, stride, expand):
        super().__init__()
        sizes, outputs = ((1, 3, 1), 4 * width) if expand else ((3, 3), width)
        strides = (1, stride, 1) if expand else (stride, 1)
        channels = [inputs, *[width] * (len(sizes) - 1), outputs]
        for i, (size, step) in enumerate(zip(sizes, strides, strict=True)):
            conv = nn.Conv2d(channels[i], channels[i + 1], size, step, size // 2, bias=False)
            setattr(self, f"conv{i + 1}", conv)
            setattr(self, f"bn{i + 1}", nn.BatchNorm2d(channels[i + 1]))
        self.depth, self.downsample = len(sizes), None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = x
        for i in range(1, self.depth + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = y.relu() if i < self.depth else y
        return (y + (self.downsample(x) if self.downsample else x)).relu()


class ResNet(nn.Module):
    def __init__(self, depths, expand, classes, in_channels, width):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = width
        for i, depth in enumerate(depths):
            blocks = []
            for j in range(depth):
                blocks.append(Block(channels, width * 2**i, 2 if i and not j else 1, expand))
                channels = width * 2**i * (4 if expand else 1)
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        y = self.maxpool(self.bn1(self.conv1(x)).relu())
        y = self.layer4(self.layer3(self.layer2(self.layer1(y))))
        return self.fc(y.mean(dim=(2, 3)))


class SmallBlock(nn.Module):
    """As `Block`, with the two kinds of shortcut of the networks for CIFAR."""

    def __init__(self, inputs, width, stride, kind):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride, self.beside = stride, (width - inputs) // 2
        if stride > 1 and kind == "B":
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        if hasattr(self, "shortcut"):
            return (y + self.shortcut(x)).relu()
        if self.stride > 1:
            x = pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.beside, self.beside))
        return (y + x).relu()


class SmallResNet(nn.Module):
    def __init__(self, depth, classes, in_channels, width, shortcut="A"):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels = width
        for i in range(3):
            blocks = []
            for j in range(depth):
                blocks.append(SmallBlock(channels, width * 2**i, 2 if i and not j else 1, shortcut))
                channels = width * 2**i
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.linear = nn.Linear(channels, classes)

    def forward(self, x):
        y = self.layer3(self.layer2(self.layer1(self.bn1(self.conv1(x)).relu())))
        return self.linear(y.mean(dim=(2, 3)))


def network_in_network(classes, in_channels, width):
    plan = [(5, in_channels, width), (1, width, width * 5 // 6), (1, width * 5 // 6, width // 2), nn.MaxPool2d]
    plan += [(5, width // 2, width), (1, width, width), (1, width, width), nn.AvgPool2d]
    plan += [(3, width, width), (1, width, width), (1, width, classes)]
    layers = []
    for step in plan:
        if isinstance(step, tuple):
            size, inputs, outputs = step
            layers += [nn.Conv2d(inputs, outputs, size, padding=size // 2), nn.ReLU()]
        else:
            layers += [step(3, 2, ceil_mode=True), nn.Dropout(0)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class BasicConv(nn.Module):
    def __init__(self, inputs, outputs, size, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x):
        return self.bn(self.conv(x)).relu()


class Inception(nn.Module):
    def __init__(self, inputs, plain, reduce3, three, reduce5, five, pooled):
        super().__init__()
        self.branch1 = BasicConv(inputs, plain, 1)
        self.branch2 = nn.Sequential(BasicConv(inputs, reduce3, 1), BasicConv(reduce3, three, 3))
        self.branch3 = nn.Sequential(BasicConv(inputs, reduce5, 1), BasicConv(reduce5, five, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), BasicConv(inputs, pooled, 1))

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class Head(nn.Module):
    def __init__(self, inputs, classes):
        super().__init__()
        self.conv = BasicConv(inputs, 128, 1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, classes)

    def forward(self, x):
        x = self.conv(adaptive_avg_pool2d(x, 4)).flatten(1)
        return self.fc2(self.fc1(x).relu())


class GoogLeNet(nn.Module):
    """In training with heads it returns the logits of all three."""

    def __init__(self, classes, in_channels, auxiliary=False):
        super().__init__()
        self.conv1 = BasicConv(in_channels, 64, 7, 2)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = BasicConv(64, 64, 1)
        self.conv3 = BasicConv(64, 192, 3)
        self.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.inception3a = Inception(192, 64, 96, 128, 16, 32, 32)
        self.inception3b = Inception(256, 128, 128, 192, 32, 96, 64)
        self.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.inception4a = Inception(480, 192, 96, 208, 16, 48, 64)
        self.aux1 = Head(512, classes) if auxiliary else None
        self.inception4b = Inception(512, 160, 112, 224, 24, 64, 64)
        self.inception4c = Inception(512, 128, 128, 256, 24, 64, 64)
        self.inception4d = Inception(512, 112, 144, 288, 32, 64, 64)
        self.aux2 = Head(528, classes) if auxiliary else None
        self.inception4e = Inception(528, 256, 160, 320, 32, 128, 128)
        self.maxpool4 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.inception5a = Inception(832, 256, 160, 320, 32, 128, 128)
        self.inception5b = Inception(832, 384, 192, 384, 48, 128, 128)
        self.fc = nn.Linear(1024, classes)

    def forward(self, x):
        x = self.maxpool2(self.conv3(self.conv2(self.maxpool1(self.conv1(x)))))
        a = self.inception4a(self.maxpool3(self.inception3b(self.inception3a(x))))
        d = self.inception4d(self.inception4c(self.inception4b(a)))
        y = self.inception5b(self.inception5a(self.maxpool4(self.inception4e(d))))
        logits = self.fc(y.mean(dim=(2, 3)))
        return (logits, self.aux1(a), self.aux2(d)) if self.training and self.aux1 else logits


class Fire(nn.Module):
    def __init__(self, inputs, squeezed, expanded):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x):
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x).relu(), self.expand3x3(x).relu()], 1)


class SqueezeNet(nn.Module):
    def __init__(self, classes, in_channels):
        super().__init__()
        pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, 7, 2), nn.ReLU(), pool,
            Fire(96, 16, 64), Fire(128, 16, 64), Fire(128, 32, 128), pool,
            Fire(256, 32, 128), Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), pool, Fire(512, 64, 256),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Dropout(0), nn.Conv2d(512, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))

    def forward(self, x):
        return self.classifier(self.features(x)).flatten(1)


def normalized(inputs, outputs, size, stride=1, groups=1, activation=nn.ReLU6):
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), activation())


class InvertedResidual(nn.Module):
    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        wide = inputs * expansion
        layers = [normalized(inputs, wide, 1)] if expansion > 1 else []
        layers += [normalized(wide, wide, 3, stride, wide), nn.Conv2d(wide, outputs, 1, bias=False)]
        self.conv = nn.Sequential(*layers, nn.BatchNorm2d(outputs))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.conv(x) if self.adds else self.conv(x)


def multiple_of_8(channels):
    """The nearest one, the greater of two, but none that takes away more than a tenth."""
    lower = channels // 8 * 8
    nearest = lower if channels - lower < 4 else lower + 8
    return int(nearest if nearest >= 8 and nearest >= 0.9 * channels else lower + 8)


class MobileNet(nn.Module):
    """Version 1, or with ``inverted`` version 2, whose channels are rounded to multiples of 8."""

    def __init__(self, inverted, classes, in_channels, width=1):
        super().__init__()
        channels = multiple_of_8(32 * width)
        features = [normalized(in_channels, channels, 3, 2, activation=nn.ReLU6 if inverted else nn.ReLU)]
        if inverted:
            plan = [
                (1, 16, 1, 1),
                (6, 24, 2, 2),
                (6, 32, 3, 2),
                (6, 64, 4, 2),
                (6, 96, 3, 1),
                (6, 160, 3, 2),
                (6, 320, 1, 1),
            ]
            for expansion, plain, count, stride in plan:
                for i in range(count):
                    outputs = multiple_of_8(plain * width)
                    features.append(InvertedResidual(channels, outputs, 1 if i else stride, expansion))
                    channels = outputs
            last = multiple_of_8(1280 * max(width, 1))
            features.append(normalized(channels, last, 1))
            classifier = nn.Sequential(nn.Dropout(0), nn.Linear(last, classes))
        else:
            strides = {64: [1], 128: [2, 1], 256: [2, 1], 512: [2, 1, 1, 1, 1, 1], 1024: [2, 1]}
            for plain, stride in [(plain, stride) for plain, steps in strides.items() for stride in steps]:
                outputs = int(plain * width)
                depthwise = normalized(channels, channels, 3, stride, channels, nn.ReLU)
                features.append(nn.Sequential(*depthwise, *normalized(channels, outputs, 1, activation=nn.ReLU)))
                channels = outputs
            classifier = nn.Linear(channels, classes)
        self.features, self.classifier = nn.Sequential(*features), classifier

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


def twin(name, classes, in_channels, **settings):
    """The network ``name``, with the settings that matter: convnet's, dropout left out."""
    plans = {
        "vgg11": "64 M 128 M 256 256 M 512 512 M 512 512 M",
        "vgg13": "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M",
        "vgg16": "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
        "vgg19": "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
    }
    depths = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
    first = {
        "simple_cnn": (simple_cnn,),
        "lenet": (lenet,),
        "alexnet": (AlexNet,),
        "nin": (network_in_network,),
        "googlenet": (GoogLeNet,),
        "squeezenet": (SqueezeNet,),
        "mobilenet_v1": (MobileNet, False),
        "mobilenet_v2": (MobileNet, True),
        "resnet20": (SmallResNet, 3),
        "resnet56": (SmallResNet, 9),
        **{key: (VGG, plan) for key, plan in plans.items()},
        **{key: (ResNet, depth, key == "resnet50") for key, depth in depths.items()},
    }
    build, *arguments = first[name]
    return build(*arguments, classes, in_channels, **settings)
