"""The models of examples/models in PyTorch."""

import torch
import torch.nn.functional as F
from torch import nn


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10),
    )  # fmt: skip


class LanguageModel(nn.Module):
    def __init__(self, recurrent, width, labels):
        super().__init__()
        self.recurrent, self.output = recurrent, nn.Linear(width, labels)

    def forward(self, x):
        return self.output(self.recurrent(x)[0])


class Residual(nn.Module):
    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.first = nn.Conv2d(inputs, channels, 3, stride, 1)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1)
        self.beside = nn.Conv2d(inputs, channels, 1, stride) if stride > 1 else nn.Identity()
        self.norms = nn.ModuleList([nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)])

    def forward(self, x):
        y = self.norms[1](self.second(self.norms[0](self.first(x)).relu()))
        return (y + self.beside(x)).relu()


def resnet18():
    return nn.Sequential(
        nn.Conv2d(1, 64, 7, 2, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
        Residual(64, 64, 1), Residual(64, 64, 1), Residual(64, 128, 2), Residual(128, 128, 1),
        Residual(128, 256, 2), Residual(256, 256, 1), Residual(256, 512, 2), Residual(512, 512, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip


class Encoder(nn.Module):
    """Linear maps apart, as the book has them, and PyTorch's fused attention."""

    def __init__(self, width, inner, heads):
        super().__init__()
        self.maps = nn.ModuleList([nn.Linear(width, width) for _ in range(4)])
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.inner, self.outer, self.heads = nn.Linear(width, inner), nn.Linear(inner, width), heads

    def forward(self, x, causal=False):
        b, t, width = x.shape
        q, k, v = [m(x).reshape(b, t, self.heads, -1).transpose(1, 2) for m in self.maps[:3]]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        x = self.norms[0](x + self.maps[3](y.transpose(1, 2).reshape(b, t, width)))
        return self.norms[1](x + self.outer(self.inner(x).relu()))


class Transformer(nn.Module):
    def __init__(self, words, length, width, inner, heads, causal):
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.places = nn.Parameter(torch.randn(length, width) * 0.1)
        self.blocks = nn.ModuleList([Encoder(width, inner, heads) for _ in range(2)])
        self.output, self.causal = nn.Linear(width, words), causal

    def forward(self, words):
        x = self.embedding(words) + self.places
        for block in self.blocks:
            x = block(x, self.causal)
        return self.output(x)
