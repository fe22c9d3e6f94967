"""Fashion-MNIST as the crate carries it, training as the book does it, and means over seeds."""
import gzip
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from seeds import SEEDS, spread

DATA = Path(__file__).resolve().parents[2] / "d2l-lib" / "data"


def idx(path):
    raw = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
    return torch.tensor(np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape).copy())


x = idx(DATA / "fashion5k-images-idx3-ubyte.gz").float().reshape(-1, 784) / 255
y = idx(DATA / "fashion5k-labels-idx1-ubyte.gz").long()
val_x = idx(DATA / "fashion1k-test-images-idx3-ubyte.gz").float().reshape(-1, 784) / 255
val_y = idx(DATA / "fashion1k-test-labels-idx1-ubyte.gz").long()


def measure(net, x, y):
    net.eval()
    with torch.no_grad():
        scores = net(x)
    net.train()
    return F.cross_entropy(scores, y).item(), (scores.argmax(1) == y).float().mean().item()


def fit(net, rule, epochs, x=x, y=y, batch_size=256):
    """Training loss, validation loss and validation accuracy of each epoch."""
    curve = []
    for _ in range(epochs):
        total, order = 0.0, torch.randperm(len(x))
        for i in range(0, len(x), batch_size):
            batch = order[i : i + batch_size]
            rule.zero_grad()
            loss = F.cross_entropy(net(x[batch]), y[batch])
            loss.backward()
            rule.step()
            total += loss.item() * len(batch)
        curve.append((total / len(x), *measure(net, val_x, val_y)))
    return curve


def report(name, f):
    runs = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        runs.append(f())
    for quantity in runs[0]:
        print(f"{name}: {quantity} {spread([run[quantity] for run in runs], '.3f')}", flush=True)
