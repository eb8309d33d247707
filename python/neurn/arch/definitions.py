"""Published architectures that no package defines as they were compared, written from the papers.

The order of definition is that of the reference implementations: it is what the comparison reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurn._optional import import_optional


def ibn_resnet50() -> nn.Module:
    """ResNet-50 with instance and batch normalization: IBN-a of Pan et al. (2018), ECCV."""
    models = import_optional("torchvision.models", "zoo")
    model: Any = models.resnet50()
    for stage in (model.layer1, model.layer2, model.layer3):
        for block in stage:
            block.bn1 = _HalfInstanceNorm(block.bn1.num_features)
    model.avgpool = nn.AvgPool2d(7)
    built: nn.Module = model
    return built


class _HalfInstanceNorm(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = channels // 2
        self.IN = nn.InstanceNorm2d(self.first, affine=True)
        self.BN = nn.BatchNorm2d(channels - self.first)

    def forward(self, x: Tensor) -> Tensor:
        first, second = x[:, : self.first], x[:, self.first :]
        return torch.cat((self.IN(first), self.BN(second)), 1)


class UNet(nn.Module):
    """U-Net with batch normalization, four levels: Buda et al. (2019), Comput. Biol. Med. 109."""

    def __init__(self, channels: int = 3, classes: int = 1, width: int = 32) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(5)]
        into = channels
        for level, out in enumerate(widths[:4], 1):
            setattr(self, f"encoder{level}", _double(into, out))
            setattr(self, f"pool{level}", nn.MaxPool2d(2, 2))
            into = out
        self.bottleneck = _double(widths[3], widths[4])
        for level in (4, 3, 2, 1):
            out = widths[level - 1]
            setattr(self, f"upconv{level}", nn.ConvTranspose2d(2 * out, out, 2, 2))
            setattr(self, f"decoder{level}", _double(2 * out, out))
        self.conv = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for level in (1, 2, 3, 4):
            x = self.get_submodule(f"encoder{level}")(x)
            kept.append(x)
            x = self.get_submodule(f"pool{level}")(x)
        x = self.bottleneck(x)
        for level in (4, 3, 2, 1):
            x = self.get_submodule(f"upconv{level}")(x)
            x = self.get_submodule(f"decoder{level}")(torch.cat((x, kept.pop()), 1))
        return torch.sigmoid(self.conv(x))


def _double(into: int, out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (into, out):
        layers += [nn.Conv2d(width, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
    return nn.Sequential(*layers)


class CORnetS(nn.Module):
    """CORnet-S, recurrent areas V1, V2, V4 and IT: Kubilius et al. (2019), NeurIPS."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.V1 = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, 3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
            nn.Conv2d(64, 64, 3, 1, 1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
        )
        self.V2 = _Area(64, 128, 2)
        self.V4 = _Area(128, 256, 4)
        self.IT = _Area(256, 512, 2)
        self.decoder = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.IT(self.V4(self.V2(self.V1(x))))
        output: Tensor = self.decoder(x)
        return output


class _Area(nn.Module):
    """An area whose convolutions run several times, each time with normalizations of its own."""

    def __init__(self, into: int, out: int, times: int) -> None:
        super().__init__()
        self.times = times
        self.conv_input = nn.Conv2d(into, out, 1, bias=False)
        self.skip = nn.Conv2d(out, out, 1, 2, bias=False)
        self.norm_skip = nn.BatchNorm2d(out)
        self.conv1 = nn.Conv2d(out, 4 * out, 1, bias=False)
        self.nonlin1 = nn.ReLU()
        self.conv2 = nn.Conv2d(4 * out, 4 * out, 3, 2, 1, bias=False)
        self.nonlin2 = nn.ReLU()
        self.conv3 = nn.Conv2d(4 * out, out, 1, bias=False)
        self.nonlin3 = nn.ReLU()
        for time in range(times):
            self.add_module(f"norm1_{time}", nn.BatchNorm2d(4 * out))
            self.add_module(f"norm2_{time}", nn.BatchNorm2d(4 * out))
            self.add_module(f"norm3_{time}", nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_input(x)
        for time in range(self.times):
            skip = x if time else self.norm_skip(self.skip(x))
            norms = [self.get_submodule(f"norm{place}_{time}") for place in (1, 2, 3)]
            x = self.nonlin1(norms[0](self.conv1(x)))
            stride = 1 if time else 2
            x = F.conv2d(x, self.conv2.weight, None, stride, 1)
            x = self.nonlin2(norms[1](x))
            x = self.nonlin3(norms[2](self.conv3(x)) + skip)
        return x


class ResNeSt50(nn.Module):
    """ResNeSt-50 with a deep stem, radix 2: Zhang et al. (2022), CVPR Workshops."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            *[nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()],
            *[nn.Conv2d(32, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()],
            nn.Conv2d(32, 64, 3, 1, 1, bias=False),
        )
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        into = 64
        for stage, (width, depth) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 1):
            blocks = []
            for place in range(depth):
                stride = 2 if place == 0 and stage > 1 else 1
                blocks.append(_SplitBottleneck(into, width, stride, first=place == 0))
                into = 4 * width
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(into, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in (1, 2, 3, 4):
            x = self.get_submodule(f"layer{stage}")(x)
        output: Tensor = self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return output


class _SplitBottleneck(nn.Module):
    def __init__(self, into: int, width: int, stride: int, first: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        if stride > 1:
            self.avd_layer = nn.AvgPool2d(3, stride, 1)
        self.pools = stride > 1
        self.conv2 = _SplitAttention(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU()
        self.downsample = None
        if first:
            self.downsample = nn.Sequential(
                nn.AvgPool2d(stride, stride),
                nn.Conv2d(into, 4 * width, 1, bias=False),
                nn.BatchNorm2d(4 * width),
            )

    def forward(self, x: Tensor) -> Tensor:
        skip = x if self.downsample is None else self.downsample(x)
        x = self.conv2(self.relu(self.bn1(self.conv1(x))))
        if self.pools:
            x = self.avd_layer(x)
        output: Tensor = self.relu(self.bn3(self.conv3(x)) + skip)
        return output


class _SplitAttention(nn.Module):
    def __init__(self, width: int, radix: int = 2) -> None:
        super().__init__()
        inner = max(width * radix // 4, 32)
        self.radix = radix
        self.conv = nn.Conv2d(width, width * radix, 3, 1, 1, groups=radix, bias=False)
        self.bn0 = nn.BatchNorm2d(width * radix)
        self.relu = nn.ReLU()
        self.fc1 = nn.Conv2d(width, inner, 1)
        self.bn1 = nn.BatchNorm2d(inner)
        self.fc2 = nn.Conv2d(inner, width * radix, 1)

    def forward(self, x: Tensor) -> Tensor:
        splits = self.relu(self.bn0(self.conv(x))).chunk(self.radix, 1)
        pooled = F.adaptive_avg_pool2d(sum(splits[1:], splits[0]), 1)
        weights = self.fc2(self.relu(self.bn1(self.fc1(pooled))))
        shares = weights.view(len(x), self.radix, -1, 1, 1).softmax(1).unbind(1)
        weighted = [share * split for share, split in zip(shares, splits, strict=True)]
        output: Tensor = sum(weighted[1:], weighted[0])
        return output


# Kernel, expanded and output channels, squeeze and excitation, stride.
_GHOST_BLOCKS = (
    *[(3, 16, 16, False, 1), (3, 48, 24, False, 2), (3, 72, 24, False, 1), (5, 72, 40, True, 2)],
    *[(5, 120, 40, True, 1), (3, 240, 80, False, 2), (3, 200, 80, False, 1)],
    *[(3, 184, 80, False, 1), (3, 184, 80, False, 1), (3, 480, 112, True, 1)],
    *[(3, 672, 112, True, 1), (5, 672, 160, True, 2), (5, 960, 160, False, 1)],
    *[(5, 960, 160, True, 1), (5, 960, 160, False, 1), (5, 960, 160, True, 1)],
)


class GhostNet(nn.Module):
    """GhostNet 1.0: Han et al. (2020), CVPR."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv_stem = nn.Conv2d(3, 16, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.act1 = nn.ReLU()
        into, blocks = 16, []
        for kernel, inner, out, squeeze, stride in _GHOST_BLOCKS:
            blocks.append(_GhostBottleneck(into, inner, out, kernel, stride, squeeze))
            into = out
        last = nn.Sequential(nn.Conv2d(into, 960, 1, bias=False), nn.BatchNorm2d(960), nn.ReLU())
        self.blocks = nn.Sequential(*blocks, last)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.conv_head = nn.Conv2d(960, 1280, 1)
        self.act2 = nn.ReLU()
        self.classifier = nn.Linear(1280, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.act1(self.bn1(self.conv_stem(x))))
        x = self.act2(self.conv_head(self.global_pool(x)))
        output: Tensor = self.classifier(F.dropout(x.flatten(1), 0.2, self.training))
        return output


class _Ghost(nn.Module):
    def __init__(self, into: int, out: int, relu: bool) -> None:
        super().__init__()
        inner = (out + 1) // 2

        def end() -> list[nn.Module]:
            return [nn.BatchNorm2d(inner), *([nn.ReLU()] if relu else [])]

        self.out = out
        self.primary_conv = nn.Sequential(nn.Conv2d(into, inner, 1, bias=False), *end())
        cheap = nn.Conv2d(inner, inner, 3, 1, 1, groups=inner, bias=False)
        self.cheap_operation = nn.Sequential(cheap, *end())

    def forward(self, x: Tensor) -> Tensor:
        first = self.primary_conv(x)
        return torch.cat((first, self.cheap_operation(first)), 1)[:, : self.out]


class _SqueezeExcite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(4, (channels // 4 + 2) // 4 * 4)
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.conv_reduce = nn.Conv2d(channels, inner, 1)
        self.act1 = nn.ReLU()
        self.conv_expand = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.conv_expand(self.act1(self.conv_reduce(self.avg_pool(x))))
        output: Tensor = x * F.hardsigmoid(weights)
        return output


class _GhostBottleneck(nn.Module):
    def __init__(
        self, into: int, inner: int, out: int, kernel: int, stride: int, squeeze: bool
    ) -> None:
        super().__init__()
        half = (kernel - 1) // 2
        self.ghost1 = _Ghost(into, inner, relu=True)
        self.strides = stride > 1
        if self.strides:
            self.conv_dw = nn.Conv2d(inner, inner, kernel, stride, half, groups=inner, bias=False)
            self.bn_dw = nn.BatchNorm2d(inner)
        self.se = _SqueezeExcite(inner) if squeeze else nn.Identity()
        self.ghost2 = _Ghost(inner, out, relu=False)
        self.shortcut = nn.Sequential()
        if into != out or self.strides:
            self.shortcut = nn.Sequential(
                nn.Conv2d(into, into, kernel, stride, half, groups=into, bias=False),
                nn.BatchNorm2d(into),
                nn.Conv2d(into, out, 1, bias=False),
                nn.BatchNorm2d(out),
            )

    def forward(self, x: Tensor) -> Tensor:
        skip = self.shortcut(x)
        x = self.ghost1(x)
        if self.strides:
            x = self.bn_dw(self.conv_dw(x))
        output: Tensor = self.ghost2(self.se(x)) + skip
        return output


class DPTLarge(nn.Module):
    """DPT-Large, MiDaS v3: Ranftl et al. (2021), ICCV; on timm's ViT-L/16 at 384 pixels."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        timm = import_optional("timm", "zoo")
        self.pretrained = nn.Module()
        self.pretrained.model = timm.create_model("vit_large_patch16_384")
        inner = (256, 512, 1024, 1024)
        steps: tuple[list[nn.Module], ...] = (
            [nn.ConvTranspose2d(256, 256, 4, 4)],
            [nn.ConvTranspose2d(512, 512, 2, 2)],
            [],
            [nn.Conv2d(1024, 1024, 3, 2, 1)],
        )
        for place, (out, more) in enumerate(zip(inner, steps, strict=True), 1):
            act = nn.Sequential(_ProjectReadout(1024), nn.Conv2d(1024, out, 1), *more)
            setattr(self.pretrained, f"act_postprocess{place}", act)
        self.scratch = nn.Module()
        for place, out in enumerate(inner, 1):
            conv = nn.Conv2d(out, width, 3, 1, 1, bias=False)
            setattr(self.scratch, f"layer{place}_rn", conv)
        for place in (1, 2, 3, 4):
            setattr(self.scratch, f"refinenet{place}", _Fusion(width))
        self.scratch.output_conv = nn.Sequential(
            nn.Conv2d(width, width // 2, 3, 1, 1),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            *[nn.Conv2d(width // 2, 32, 3, 1, 1), nn.ReLU()],
            *[nn.Conv2d(32, 1, 1), nn.ReLU()],
        )

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[2] // 16, x.shape[3] // 16
        maps = []
        for place, tokens in enumerate(self._tokens(x), 1):
            readout, *convs = self.pretrained.get_submodule(f"act_postprocess{place}").children()
            found = readout(tokens).transpose(1, 2).unflatten(2, (rows, columns))
            for conv in convs:
                found = conv(found)
            maps.append(self.scratch.get_submodule(f"layer{place}_rn")(found))
        path = None
        for place in (4, 3, 2, 1):
            path = self.scratch.get_submodule(f"refinenet{place}")(maps[place - 1], path)
        output: Tensor = self.scratch.get_submodule("output_conv")(path)
        return output

    def _tokens(self, x: Tensor) -> Iterator[Tensor]:
        """Yield class token and patches behind blocks 6, 12, 18 and 24."""
        vit: Any = self.pretrained.model
        x = vit._pos_embed(vit.patch_embed(x))
        for place, block in enumerate(vit.blocks, 1):
            x = block(x)
            if place % 6 == 0:
                yield x


class _ProjectReadout(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(2 * channels, channels), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        readout = x[:, :1].expand_as(x[:, 1:])
        output: Tensor = self.project(torch.cat((x[:, 1:], readout), -1))
        return output


class _Fusion(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        relu = nn.ReLU()
        self.out_conv = nn.Conv2d(width, width, 1)
        self.resConfUnit1 = _Residual(width, relu)
        self.resConfUnit2 = _Residual(width, relu)

    def forward(self, x: Tensor, path: Tensor | None) -> Tensor:
        x = self.resConfUnit1(x) if path is None else path + self.resConfUnit1(x)
        x = F.interpolate(self.resConfUnit2(x), scale_factor=2.0, mode="bilinear")
        output: Tensor = self.out_conv(x)
        return output


class _Residual(nn.Module):
    def __init__(self, width: int, relu: nn.Module) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, 1, 1) for _ in range(2))
        self.activation = relu

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = x + self.conv2(self.activation(self.conv1(self.activation(x))))
        return output


def vit_b() -> nn.Module:
    """ViT-B/16 of Hugging Face: Dosovitskiy et al. (2021), ICLR."""
    transformers = import_optional("transformers", "zoo")
    model: nn.Module = transformers.ViTModel(transformers.ViTConfig())
    return model
