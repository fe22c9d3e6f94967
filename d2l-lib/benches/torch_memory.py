"""The most memory that training steps need, in kilobytes: see examples/memory.rs, the same models."""

import sys

import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(1)
model, batch = sys.argv[1], int(sys.argv[2])


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(200, 64)
        self.queries, self.keys, self.values, self.joined = [nn.Linear(64, 64) for _ in range(4)]
        self.norms = nn.ModuleList([nn.LayerNorm(64), nn.LayerNorm(64)])
        self.inner, self.outer, self.output = nn.Linear(64, 128), nn.Linear(128, 64), nn.Linear(64, 200)

    def forward(self, words):
        x = self.embedding(words)
        n, t, _ = x.shape
        q, k, v = [part(x).view(n, t, 4, 16).transpose(1, 2) for part in (self.queries, self.keys, self.values)]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(n, t, 64)
        x = self.norms[0](x + self.joined(y))
        return self.output(self.norms[1](x + self.outer(F.relu(self.inner(x)))))


if model == "lenet":
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10),
    )
    x, t = torch.randn(batch, 1, 28, 28), torch.randint(0, 10, (batch,))
else:
    net = Transformer()
    x, t = torch.randint(0, 200, (batch, 32)), torch.randint(0, 200, (batch * 32,))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(5):
    optimizer.zero_grad()
    y = net(x)
    F.cross_entropy(y.reshape(len(t), -1), t).backward()
    optimizer.step()
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
