"""Chapter 7's trainings in PyTorch: the same data, settings and numbers of steps, 3 seeds.

    python tests/results/convolutional-networks.py [folder of the whole Fashion-MNIST]
"""

import pathlib
import sys

import torch
from torch import nn

from fashion import DATA, idx
from seeds import SEEDS, spread


def report(section, quantity, values):
    print(f"{section:12} {quantity:40} {spread(values, '.4g')}", flush=True)


def pair(folder, images, labels):
    def find(name):
        return next(p for p in (folder / name, folder / f"{name}.gz") if p.exists())

    return idx(find(images)).float().unsqueeze(1) / 255, idx(find(labels)).long()


def learned_kernel():
    x = torch.ones(1, 1, 6, 8)
    x[..., 2:6] = 0
    y = x[..., :-1] - x[..., 1:]
    losses, errors = [], []
    for seed in SEEDS:
        torch.manual_seed(seed)
        conv = nn.Conv2d(1, 1, (1, 2), bias=False)
        sgd = torch.optim.SGD(conv.parameters(), lr=0.03)
        for _ in range(10):
            sgd.zero_grad()
            loss = ((conv(x) - y) ** 2).sum()
            loss.backward()
            sgd.step()
        losses.append(loss.item())
        errors.append((conv.weight.flatten() - torch.tensor([1.0, -1.0])).abs().max().item())
    report("conv-layer", "loss at step 10", losses)
    report("conv-layer", "largest error of the kernel", errors)


def lenet(activation=nn.Tanh, pool=nn.AvgPool2d):
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), activation(), pool(2),
        nn.Conv2d(6, 16, 5), activation(), pool(2), nn.Flatten(),
        nn.Linear(400, 120), activation(), nn.Linear(120, 84), activation(), nn.Linear(84, 10),
    )  # fmt: skip
    for name, parameter in net.named_parameters():
        if name.endswith("weight"):
            nn.init.xavier_uniform_(parameter)
    return net


def dense():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 76), nn.Tanh(), nn.Linear(76, 10))


def modern():
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    return net


def accuracy(net, x, y):
    with torch.no_grad():
        return (net(x).argmax(1) == y).double().mean().item()


def train(make, train_set, test_set):
    x, y = train_set
    net = make()
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(12):
        order = torch.randperm(len(x))
        for i in range(0, len(x), 32):
            chosen = order[i : i + 32]
            adam.zero_grad()
            nn.functional.cross_entropy(net(x[chosen]), y[chosen]).backward()
            adam.step()
    return net, accuracy(net, *test_set)


def moved(x, right):
    y = torch.zeros_like(x)
    y[..., right:] = x[..., : 28 - right]
    return y


def compare(name, train_set, test_set):
    found = {}
    for seed in SEEDS:
        torch.manual_seed(seed)
        order = torch.randperm(784)
        shuffle = lambda x: x.reshape(-1, 784)[:, order].reshape(-1, 1, 28, 28)
        for label, make in (("LeNet", lenet), ("fully connected", dense)):
            net, right = train(make, train_set, test_set)
            found.setdefault(f"{label}, accuracy", []).append(right)
            by_three = accuracy(net, moved(test_set[0], 3), test_set[1])
            found.setdefault(f"{label}, moved by 3 pixels", []).append(by_three)
            shuffled = [(shuffle(x), y) for x, y in (train_set, test_set)]
            found.setdefault(f"{label}, shuffled pixels", []).append(train(make, *shuffled)[1])
        found.setdefault("ReLU and max pooling", []).append(train(modern, train_set, test_set)[1])
    for quantity, values in found.items():
        report(name, quantity, values)


learned_kernel()
if len(sys.argv) > 1:
    folder = pathlib.Path(sys.argv[1])
    compare(
        "whole set",
        pair(folder, "train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        pair(folder, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
    )
else:
    compare(
        "sample",
        pair(DATA, "fashion5k-images-idx3-ubyte", "fashion5k-labels-idx1-ubyte"),
        pair(DATA, "fashion1k-test-images-idx3-ubyte", "fashion1k-test-labels-idx1-ubyte"),
    )
