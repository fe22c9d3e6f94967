"""The experiments of chapter 4 in PyTorch."""
import torch
from torch import nn

from fashion import fit, report


def scratch():
    net = nn.Linear(784, 10)
    nn.init.normal_(net.weight, 0, 0.01)
    nn.init.zeros_(net.bias)
    return {"validation accuracy": fit(net, torch.optim.SGD(net.parameters(), 0.1), 20)[-1][2]}


def concise():
    net = nn.Linear(784, 10)
    return {"validation accuracy": fit(net, torch.optim.SGD(net.parameters(), 0.1), 20)[-1][2]}


def long():
    net = nn.Linear(784, 10)
    curve = fit(net, torch.optim.Adam(net.parameters(), 0.003), 100)
    return {
        "lowest validation loss": min(point[1] for point in curve),
        "training loss": curve[-1][0],
        "validation accuracy": curve[-1][2],
    }


report("softmax scratch", scratch)
report("softmax concise", concise)
report("softmax long", long)
