"""The experiments of chapter 5 in PyTorch."""
import csv
import gzip
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from fashion import DATA, fit, measure, report, val_x, val_y, x, y


def mlp(hidden=256):
    return nn.Sequential(nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def accuracy(net, rule, epochs=30):
    return {"validation accuracy": fit(net, rule, epochs)[-1][2]}


def scratch():
    net = mlp()
    for layer in (net[0], net[2]):
        nn.init.normal_(layer.weight, 0, 0.01)
        nn.init.zeros_(layer.bias)
    return accuracy(net, torch.optim.SGD(net.parameters(), 0.1))


def concise():
    net = mlp()
    return accuracy(net, torch.optim.SGD(net.parameters(), 0.1))


def adam(net):
    return accuracy(net, torch.optim.Adam(net.parameters(), 0.001))


def init():
    results = {}
    for name, he in (("deviation 0.01", False), ("variance 2/n", True)):
        layers = [nn.Linear(64 if i else 784, 64 if i < 11 else 10) for i in range(12)]
        for layer in layers:
            if he:
                nn.init.kaiming_normal_(layer.weight)
            else:
                nn.init.normal_(layer.weight, 0, 0.01)
            nn.init.zeros_(layer.bias)
        net = nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])
        curve = fit(net, torch.optim.SGD(net.parameters(), 0.01, momentum=0.9), 10)
        results[name] = curve[-1][0]
    return results


def relabelled(n, noise):
    random = torch.randint(0, 10, (n,))
    return x[:n], torch.where(torch.rand(n) < noise, random, y[:n])


def random_labels():
    results = {}
    for name, noise in (("true", 0.0), ("random", 1.0)):
        px, py = relabelled(1000, noise)
        net = mlp(512)
        fit(net, torch.optim.Adam(net.parameters(), 0.001), 60, px, py, 64)
        results[f"{name}: training"] = measure(net, px, py)[1]
        results[f"{name}: new data"] = measure(net, val_x, val_y)[1]
    return results


def early_stopping():
    px, py = relabelled(2000, 0.4)
    net = mlp(512)
    curve = fit(net, torch.optim.Adam(net.parameters(), 0.001), 40, px, py, 64)
    return {"best accuracy": max(point[2] for point in curve), "last accuracy": curve[-1][2]}


def dropout(p):
    net = nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Dropout(p),
        nn.Linear(256, 256), nn.ReLU(), nn.Dropout(p), nn.Linear(256, 10),
    )
    last = fit(net, torch.optim.Adam(net.parameters(), 0.001), 30)[-1]
    return dict(zip(("training loss", "validation loss", "validation accuracy"), last))


def table():
    """Numbers, one-hot columns and logarithms of prices."""
    rows = list(csv.DictReader(gzip.open(DATA / "ames.csv.gz", "rt")))
    missing = ("", "NA", "NaN", "nan")
    numbers, words = [], []
    for name in rows[0]:
        column = [row[name] for row in rows]
        try:
            values = [math.nan if v in missing else float(v) for v in column]
            if name != "Sale_Price":
                numbers.append(values)
        except ValueError:
            words += [[float(v == word) for v in column] for word in sorted(set(column))]
    price = torch.tensor([[float(row["Sale_Price"])] for row in rows])
    return torch.tensor(numbers).T, torch.tensor(words).T, price.log()


def houses():
    numbers, words, log_price = table()
    n = len(numbers)
    order, results = torch.randperm(n), {}
    for name, hidden, decay in (
        ("linear", False, 0.0), ("linear, decay", False, 1.0),
        ("perceptron", True, 0.0), ("perceptron, decay", True, 1.0),
    ):
        squares = 0.0
        for i in range(5):
            a, b = i * n // 5, (i + 1) * n // 5
            train, val = torch.cat([order[:a], order[b:]]), order[a:b]
            mean, std = numbers[train].mean(0), numbers[train].std(0).clamp(min=1e-6)
            px = torch.cat([(numbers - mean) / std, words], 1)
            py = log_price - log_price[train].mean()
            d = px.shape[1]
            net = nn.Sequential(nn.Linear(d, 64), nn.ReLU(), nn.Linear(64, 1)) if hidden else nn.Linear(d, 1)
            rule = torch.optim.AdamW(net.parameters(), 0.003, weight_decay=decay)
            for _ in range(60):
                shuffled = train[torch.randperm(len(train))]
                for j in range(0, len(shuffled), 64):
                    batch = shuffled[j : j + 64]
                    rule.zero_grad()
                    F.mse_loss(net(px[batch]), py[batch]).backward()
                    rule.step()
            with torch.no_grad():
                squares += F.mse_loss(net(px[val]), py[val]).item() / 5
        results[name] = math.sqrt(squares)
    return results


report("mlp scratch", scratch)
report("mlp concise", concise)
report("mlp adam linear", lambda: adam(nn.Linear(784, 10)))
report("mlp adam", lambda: adam(mlp()))
report("mlp init", init)
report("mlp random labels", random_labels)
report("mlp early stopping", early_stopping)
for p in (0.0, 0.5):
    report(f"mlp dropout {p}", lambda: dropout(p))
report("houses", houses)
