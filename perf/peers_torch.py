"""The PyTorch peer: ConvNeXtSmall as a PyTorch user would write it (Liu et al. 2022, arXiv:2201.03545).

usage: python -m perf.peers_torch BATCH   trains it step by step, as often as a line on stdin asks for

Needs PyTorch and nothing of ours, so that it may run in an environment of its own.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from perf.turns import answer


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of an N×C×H×W tensor."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalize."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class Block(nn.Module):
    """Depthwise 7×7, norm, two pointwise layers, LayerScale, residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))
        self.scale = nn.Parameter(torch.rand(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Transform an N×C×H×W tensor."""
        y = self.mlp(self.norm(self.depthwise(x).movedim(1, -1)))
        return x + (self.scale * y).movedim(-1, 1)


def build(classes: int = 8) -> nn.Module:
    """The network, with random weights."""
    torch.manual_seed(0)
    widths = (96, 192, 384, 768)
    layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, 4), ChannelNorm(widths[0], eps=1e-6)]
    for stage, (blocks, width) in enumerate(zip((3, 3, 27, 3), widths, strict=True)):
        if stage:
            layers += [ChannelNorm(widths[stage - 1], eps=1e-6), nn.Conv2d(widths[stage - 1], width, 2, 2)]
        layers += [Block(width) for _ in range(blocks)]
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(widths[-1], eps=1e-6), nn.Linear(widths[-1], classes)]
    return nn.Sequential(*layers, *pool)


def export(path: Path) -> None:
    """Export with PyTorch's current exporter, as its documentation recommends."""
    image = torch.rand(1, 3, 96, 96)
    torch.onnx.export(build().eval(), (image,), str(path), opset_version=20, dynamo=True, external_data=False)


def train_step(batch: int) -> Callable[[], float]:
    """A training step as PyTorch's documentation advises for CPUs: channels-last, bfloat16 by autocast, AdamW."""
    model = build().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    images = torch.rand(batch, 3, 96, 96).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 8, (batch,))

    def step() -> float:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


if __name__ == "__main__":
    answer(train_step(int(sys.argv[1])), warm_up=2)
