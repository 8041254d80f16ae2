"""The paper's recipes against the numbers of the paper and its code, layer by layer, and against the built modules."""

import math
import re
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar, NamedTuple

import numpy
import pytest
import torch
import trainers
from torch import nn
from torch.nn.functional import softplus

from genzoo import Joint, SettingsError
from genzoo.data import Dataset
from genzoo.evaluation.cards import networks_card, networks_of
from genzoo.host.discovery import registry
from genzoo.nn import LinearEmbedder, TableCritic
from genzoo.nn.layers import MaxoutLayer, UntiedBias
from genzoo.nn.table_modules import Stack
from genzoo.runs.job import find_game, find_recipe
from genzoo.training import Training
from genzoo.training.initialization import initial_networks
from genzoo.training.settings import resolve_settings
from genzoo.types import DataSpec, Split, Splits
from genzoo_ali.ali import ALI
from genzoo_ali.conditional import ConditionalALI
from genzoo_data.celeba64 import ATTRIBUTES
from genzoo_gan.conditional import ConditionalGAN
from genzoo_recipes.celeba64 import CelebA64Networks
from genzoo_recipes.cifar10 import CIFAR10Networks
from genzoo_recipes.svhn import SVHNNetworks

CPU = torch.device("cpu")

# The tables: operation with kernel and stride; input and output; batch norm; dropout on the input; nonlinearity; bias;
# weights + biases + batch norm; multiply-accumulates. Maxout rows give what is left after the maximum.

TABLES = {
    "cifar10": """
        encoder body
        conv 5 1   3×32×32    32×28×28   BN  0    LReLU 0.1  none           2,400 + 0 + 64   1,881,600
        conv 4 2   32×28×28   64×13×13   BN  0    LReLU 0.1  none         32,768 + 0 + 128   5,537,792
        conv 4 1   64×13×13   128×10×10  BN  0    LReLU 0.1  none        131,072 + 0 + 256  13,107,200
        conv 4 2   128×10×10  256×4×4    BN  0    LReLU 0.1  none        524,288 + 0 + 512   8,388,608
        conv 4 1   256×4×4    512×1×1    BN  0    LReLU 0.1  none    2,097,152 + 0 + 1,024   2,097,152
        conv 1 1   512×1×1    512×1×1    BN  0    LReLU 0.1  none      262,144 + 0 + 1,024     262,144
        encoder head
        conv 1 1   512×1×1    128×1×1    –   0    linear     tied         65,536 + 128 + 0      65,536
        decoder stack
        tconv 4 1  64×1×1     256×4×4    BN  0    LReLU 0.1  none        262,144 + 0 + 512     262,144
        tconv 4 2  256×4×4    128×10×10  BN  0    LReLU 0.1  none        524,288 + 0 + 256   8,388,608
        tconv 4 1  128×10×10  64×13×13   BN  0    LReLU 0.1  none        131,072 + 0 + 128  13,107,200
        tconv 4 2  64×13×13   32×28×28   BN  0    LReLU 0.1  none          32,768 + 0 + 64   5,537,792
        tconv 5 1  32×28×28   32×32×32   BN  0    LReLU 0.1  none          25,600 + 0 + 64  20,070,400
        conv 1 1   32×32×32   32×32×32   BN  0    LReLU 0.1  none           1,024 + 0 + 64   1,048,576
        conv 1 1   32×32×32   3×32×32    –   0    sigmoid    untied         96 + 3,072 + 0      98,304
        critic x
        conv 5 1   3×32×32    16×28×28   –   0.2  maxout 2   tied           2,400 + 32 + 0   1,881,600
        conv 4 2   16×28×28   32×13×13   –   0.5  maxout 2   tied          16,384 + 64 + 0   2,768,896
        conv 4 1   32×13×13   64×10×10   –   0.5  maxout 2   tied         65,536 + 128 + 0   6,553,600
        conv 4 2   64×10×10   128×4×4    –   0.5  maxout 2   tied        262,144 + 256 + 0   4,194,304
        conv 4 1   128×4×4    256×1×1    –   0.5  maxout 2   tied      1,048,576 + 512 + 0   1,048,576
        critic z
        conv 1 1   64×1×1     256×1×1    –   0.2  maxout 2   none           32,768 + 0 + 0      32,768
        conv 1 1   256×1×1    256×1×1    –   0.5  maxout 2   none          131,072 + 0 + 0     131,072
        critic joint
        conv 1 1   512×1×1    512×1×1    –   0.5  maxout 2   tied      524,288 + 1,024 + 0     524,288
        conv 1 1   512×1×1    512×1×1    –   0.5  maxout 2   tied      524,288 + 1,024 + 0     524,288
        conv 1 1   512×1×1    1×1×1      –   0.5  linear     tied              512 + 1 + 0         512
    """,
    "svhn": """
        encoder body
        conv 5 1   3×32×32    32×28×28   BN  0    LReLU 0.01  none           2,400 + 0 + 64   1,881,600
        conv 4 2   32×28×28   64×13×13   BN  0    LReLU 0.01  none         32,768 + 0 + 128   5,537,792
        conv 4 1   64×13×13   128×10×10  BN  0    LReLU 0.01  none        131,072 + 0 + 256  13,107,200
        conv 4 2   128×10×10  256×4×4    BN  0    LReLU 0.01  none        524,288 + 0 + 512   8,388,608
        conv 4 1   256×4×4    512×1×1    BN  0    LReLU 0.01  none    2,097,152 + 0 + 1,024   2,097,152
        conv 1 1   512×1×1    512×1×1    BN  0    LReLU 0.01  none      262,144 + 0 + 1,024     262,144
        encoder head
        conv 1 1   512×1×1    512×1×1    –   0    linear      tied        262,144 + 512 + 0     262,144
        decoder stack
        tconv 4 1  256×1×1    256×4×4    BN  0    LReLU 0.01  none      1,048,576 + 0 + 512   1,048,576
        tconv 4 2  256×4×4    128×10×10  BN  0    LReLU 0.01  none        524,288 + 0 + 256   8,388,608
        tconv 4 1  128×10×10  64×13×13   BN  0    LReLU 0.01  none        131,072 + 0 + 128  13,107,200
        tconv 4 2  64×13×13   32×28×28   BN  0    LReLU 0.01  none          32,768 + 0 + 64   5,537,792
        tconv 5 1  32×28×28   32×32×32   BN  0    LReLU 0.01  none          25,600 + 0 + 64  20,070,400
        conv 1 1   32×32×32   32×32×32   BN  0    LReLU 0.01  none           1,024 + 0 + 64   1,048,576
        conv 1 1   32×32×32   3×32×32    –   0    sigmoid     untied         96 + 3,072 + 0      98,304
        critic x
        conv 5 1   3×32×32    32×28×28   –   0.2  LReLU 0.01  tied           2,400 + 32 + 0   1,881,600
        conv 4 2   32×28×28   64×13×13   BN  0.2  LReLU 0.01  none         32,768 + 0 + 128   5,537,792
        conv 4 1   64×13×13   128×10×10  BN  0.2  LReLU 0.01  none        131,072 + 0 + 256  13,107,200
        conv 4 2   128×10×10  256×4×4    BN  0.2  LReLU 0.01  none        524,288 + 0 + 512   8,388,608
        conv 4 1   256×4×4    512×1×1    BN  0.2  LReLU 0.01  none    2,097,152 + 0 + 1,024   2,097,152
        critic z
        conv 1 1   256×1×1    512×1×1    –   0.2  LReLU 0.01  none          131,072 + 0 + 0     131,072
        conv 1 1   512×1×1    512×1×1    –   0.2  LReLU 0.01  none          262,144 + 0 + 0     262,144
        critic joint
        conv 1 1   1024×1×1   1024×1×1   –   0.2  LReLU 0.01  tied    1,048,576 + 1,024 + 0   1,048,576
        conv 1 1   1024×1×1   1024×1×1   –   0.2  LReLU 0.01  tied    1,048,576 + 1,024 + 0   1,048,576
        conv 1 1   1024×1×1   1×1×1      –   0.2  linear      tied            1,024 + 1 + 0       1,024
    """,
    "celeba64": """
        encoder body
        conv 2 1   3×64×64    64×63×63   BN  0    LReLU 0.02  none            768 + 0 + 128      3,048,192
        conv 7 2   64×63×63   128×29×29  BN  0    LReLU 0.02  none        401,408 + 0 + 256    337,584,128
        conv 5 2   128×29×29  256×13×13  BN  0    LReLU 0.02  none        819,200 + 0 + 512    138,444,800
        conv 7 2   256×13×13  256×4×4    BN  0    LReLU 0.02  none      3,211,264 + 0 + 512     51,380,224
        conv 4 1   256×4×4    512×1×1    BN  0    LReLU 0.02  none    2,097,152 + 0 + 1,024      2,097,152
        encoder head
        conv 1 1   512×1×1    512×1×1    –   0    linear      tied        262,144 + 512 + 0        262,144
        decoder stack
        tconv 4 1  256×1×1    512×4×4    BN  0    LReLU 0.02  none    2,097,152 + 0 + 1,024      2,097,152
        tconv 7 2  512×4×4    256×13×13  BN  0    LReLU 0.02  none      6,422,528 + 0 + 512    102,760,448
        tconv 5 2  256×13×13  256×29×29  BN  0    LReLU 0.02  none      1,638,400 + 0 + 512    276,889,600
        tconv 7 2  256×29×29  128×63×63  BN  0    LReLU 0.02  none      1,605,632 + 0 + 256  1,350,336,512
        tconv 2 1  128×63×63  64×64×64   BN  0    LReLU 0.02  none         32,768 + 0 + 128    130,056,192
        conv 1 1   64×64×64   3×64×64    –   0    sigmoid     untied       192 + 12,288 + 0        786,432
        critic x
        conv 2 1   3×64×64    64×63×63   –   0.2  LReLU 0.02  tied             768 + 64 + 0      3,048,192
        conv 7 2   64×63×63   128×29×29  BN  0.2  LReLU 0.02  none        401,408 + 0 + 256    337,584,128
        conv 5 2   128×29×29  256×13×13  BN  0.2  LReLU 0.02  none        819,200 + 0 + 512    138,444,800
        conv 7 2   256×13×13  256×4×4    BN  0.2  LReLU 0.02  none      3,211,264 + 0 + 512     51,380,224
        conv 4 1   256×4×4    512×1×1    BN  0.2  LReLU 0.02  none    2,097,152 + 0 + 1,024      2,097,152
        critic z
        conv 1 1   256×1×1    1024×1×1   –   0.2  LReLU 0.02  none          262,144 + 0 + 0        262,144
        conv 1 1   1024×1×1   1024×1×1   –   0.2  LReLU 0.02  none        1,048,576 + 0 + 0      1,048,576
        critic joint
        conv 1 1   1536×1×1   2048×1×1   –   0.2  LReLU 0.02  tied    3,145,728 + 2,048 + 0      3,145,728
        conv 1 1   2048×1×1   2048×1×1   –   0.2  LReLU 0.02  tied    4,194,304 + 2,048 + 0      4,194,304
        conv 1 1   2048×1×1   1×1×1      –   0.2  linear      tied            2,048 + 1 + 0          2,048
    """,
    "imagenet64": """
        encoder body
        conv 4 2   3×64×64    64×31×31   BN  0    LReLU 0.01  none           3,072 + 0 + 128   2,952,192
        conv 4 1   64×31×31   64×28×28   BN  0    LReLU 0.01  none          65,536 + 0 + 128  51,380,224
        conv 4 2   64×28×28   128×13×13  BN  0    LReLU 0.01  none         131,072 + 0 + 256  22,151,168
        conv 4 1   128×13×13  128×10×10  BN  0    LReLU 0.01  none         262,144 + 0 + 256  26,214,400
        conv 4 2   128×10×10  256×4×4    BN  0    LReLU 0.01  none         524,288 + 0 + 512   8,388,608
        conv 4 1   256×4×4    256×1×1    BN  0    LReLU 0.01  none       1,048,576 + 0 + 512   1,048,576
        conv 1 1   256×1×1    2048×1×1   BN  0    LReLU 0.01  none       524,288 + 0 + 4,096     524,288
        conv 1 1   2048×1×1   2048×1×1   BN  0    LReLU 0.01  none     4,194,304 + 0 + 4,096   4,194,304
        encoder head
        conv 1 1   2048×1×1   512×1×1    –   0    linear      tied       1,048,576 + 512 + 0   1,048,576
        decoder stack
        conv 1 1   256×1×1    2048×1×1   BN  0    LReLU 0.01  none       524,288 + 0 + 4,096     524,288
        conv 1 1   2048×1×1   256×1×1    BN  0    LReLU 0.01  none         524,288 + 0 + 512     524,288
        tconv 4 1  256×1×1    256×4×4    BN  0    LReLU 0.01  none       1,048,576 + 0 + 512   1,048,576
        tconv 4 2  256×4×4    128×10×10  BN  0    LReLU 0.01  none         524,288 + 0 + 256   8,388,608
        tconv 4 1  128×10×10  128×13×13  BN  0    LReLU 0.01  none         262,144 + 0 + 256  26,214,400
        tconv 4 2  128×13×13  64×28×28   BN  0    LReLU 0.01  none         131,072 + 0 + 128  22,151,168
        tconv 4 1  64×28×28   64×31×31   BN  0    LReLU 0.01  none          65,536 + 0 + 128  51,380,224
        tconv 4 2  64×31×31   64×64×64   BN  0    LReLU 0.01  none          65,536 + 0 + 128  62,980,096
        conv 1 1   64×64×64   3×64×64    –   0    sigmoid     untied        192 + 12,288 + 0     786,432
        critic x
        conv 4 2   3×64×64    64×31×31   –   0.2  LReLU 0.01  tied            3,072 + 64 + 0   2,952,192
        conv 4 1   64×31×31   64×28×28   BN  0.2  LReLU 0.01  none          65,536 + 0 + 128  51,380,224
        conv 4 2   64×28×28   128×13×13  BN  0.2  LReLU 0.01  none         131,072 + 0 + 256  22,151,168
        conv 4 1   128×13×13  128×10×10  BN  0.2  LReLU 0.01  none         262,144 + 0 + 256  26,214,400
        conv 4 2   128×10×10  256×4×4    BN  0.2  LReLU 0.01  none         524,288 + 0 + 512   8,388,608
        conv 4 1   256×4×4    256×1×1    BN  0.2  LReLU 0.01  none       1,048,576 + 0 + 512   1,048,576
        critic z
        conv 1 1   256×1×1    2048×1×1   –   0.2  LReLU 0.01  tied       524,288 + 2,048 + 0     524,288
        conv 1 1   2048×1×1   2048×1×1   –   0.2  LReLU 0.01  tied     4,194,304 + 2,048 + 0   4,194,304
        critic joint
        conv 1 1   2304×1×1   4096×1×1   –   0.2  LReLU 0.01  tied     9,437,184 + 4,096 + 0   9,437,184
        conv 1 1   4096×1×1   4096×1×1   –   0.2  LReLU 0.01  tied    16,777,216 + 4,096 + 0  16,777,216
        conv 1 1   4096×1×1   1×1×1      –   0.2  linear      tied             4,096 + 1 + 0       4,096
    """,
    "celeba64-conditional": """
        encoder head
        conv 1 1   768×1×1    512×1×1    –   0    linear      tied        393,216 + 512 + 0        393,216
        decoder stack
        tconv 4 1  512×1×1    512×4×4    BN  0    LReLU 0.02  none    4,194,304 + 0 + 1,024      4,194,304
        tconv 7 2  512×4×4    256×13×13  BN  0    LReLU 0.02  none      6,422,528 + 0 + 512    102,760,448
        tconv 5 2  256×13×13  256×29×29  BN  0    LReLU 0.02  none      1,638,400 + 0 + 512    276,889,600
        tconv 7 2  256×29×29  128×63×63  BN  0    LReLU 0.02  none      1,605,632 + 0 + 256  1,350,336,512
        tconv 2 1  128×63×63  64×64×64   BN  0    LReLU 0.02  none         32,768 + 0 + 128    130,056,192
        conv 1 1   64×64×64   3×64×64    –   0    sigmoid     untied       192 + 12,288 + 0        786,432
        critic joint
        conv 1 1   1792×1×1   2048×1×1   –   0.2  LReLU 0.02  tied    3,670,016 + 2,048 + 0      3,670,016
        conv 1 1   2048×1×1   2048×1×1   –   0.2  LReLU 0.02  tied    4,194,304 + 2,048 + 0      4,194,304
        conv 1 1   2048×1×1   1×1×1      –   0.2  linear      tied            2,048 + 1 + 0          2,048
    """,
}


class Line(NamedTuple):
    """One line of a table."""

    operation: str
    given: tuple[int, ...]
    output: tuple[int, ...]
    normed: bool
    input_dropout: float
    nonlinearity: str
    bias: str
    weights: int
    biases: int
    norms: int
    macs: int
    dropout: float = 0.0

    @property
    def parameters(self):
        return self.weights + self.biases + self.norms

    def shown(self, number, table):
        """Return the line as `genzoo show` has it."""
        return {
            "number": number,
            "table": table,
            "operation": self.operation,
            "input": list(self.given),
            "output": list(self.output),
            "batch_norm": self.normed,
            "spectral_norm": False,
            "input_dropout": self.input_dropout,
            "dropout": self.dropout,
            "nonlinearity": self.nonlinearity,
            "bias": self.bias,
            "parameters": self.parameters,
            "macs": self.macs,
        }


def read(text):
    """Return the lines of every table by the name above it: network, table."""
    found = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        cells = re.split(r"\s{2,}", line)
        if len(cells) == 1:
            lines = found.setdefault(tuple(line.split()), [])
            continue
        operation, given, output, norm, dropout, nonlinearity, bias, parameters, macs = cells
        kind, kernel, stride = operation.split()
        lines.append(
            Line(
                {"conv": "conv", "tconv": "transposed conv"}[kind] + f" {kernel}×{kernel}, stride {stride}",
                tuple(map(int, given.split("×"))),
                tuple(map(int, output.split("×"))),
                norm == "BN",
                float(dropout),
                nonlinearity,
                bias,
                *(int(count.replace(",", "")) for count in [*parameters.split(" + "), macs]),
            )
        )
    return found


PRINTED = {name: read(text) for name, text in TABLES.items()}
PRINTED["celeba64-conditional"] = PRINTED["celeba64"] | PRINTED["celeba64-conditional"]
PRINTED["tinyimagenet64"] = PRINTED["imagenet64"]

# Parameters of every table of a critic
TOWERS = {
    "cifar10": {"x": 1_396_032, "z": 163_840, "joint": 1_051_137},
    "svhn": {"x": 2_789_632, "z": 393_216, "joint": 2_100_225},
    "celeba64": {"x": 6_532_160, "z": 1_310_720, "joint": 7_346_177},
    "celeba64-conditional": {"x": 6_532_160, "z": 1_310_720, "joint": 7_870_465},
    "imagenet64": {"x": 2_036_416, "z": 4_722_688, "joint": 26_226_689},
}
TOWERS["tinyimagenet64"] = TOWERS["imagenet64"]


class Size(NamedTuple):
    """Parameters and multiply-accumulates of the networks of one model, and its parameters in all."""

    latent: int
    parameters: dict[str, int]
    macs: dict[str, int]
    total: int


def sizes(latent, total, **networks):
    """Return the size of a model whose networks have (parameters, macs)."""
    return Size(
        latent,
        {name: parameters for name, (parameters, _) in networks.items()},
        {name: macs for name, (_, macs) in networks.items()},
        total,
    )


SIZES = {
    ("cifar10", "ali"): sizes(
        64,
        6_710_657,
        encoder=(3_118_496, 31_340_032),
        decoder=(981_152, 48_513_024),
        critic=(2_611_009, 17_659_904),
    ),
    ("svhn", "ali"): sizes(
        256,
        10_366_145,
        encoder=(3_315_488, 31_536_640),
        decoder=(1_767_584, 49_299_456),
        critic=(5_283_073, 33_503_744),
    ),
    ("celeba64", "ali"): sizes(
        256,
        33_795_329,
        encoder=(6_794_880, 532_816_640),
        decoder=(11_811_392, 1_862_926_336),
        critic=(15_189_057, 541_207_296),
    ),
    ("celeba64-conditional", "conditional-ali"): sizes(
        256,
        36_547_841 + 10_496,
        encoder=(6_925_952, 532_947_712),
        decoder=(13_908_544, 1_865_023_488),
        critic=(15_713_345, 541_731_584),
        embedder=(10_496, None),
    ),
    ("imagenet64", "ali"): sizes(
        256,
        43_962_369,
        encoder=(7_812_352, 117_902_336),
        decoder=(3_164_224, 173_998_080),
        critic=(32_985_793, 143_072_256),
    ),
    ("mixture25-paper", "ali"): sizes(
        2,
        1_056_005,
        encoder=(164_002, 162_400),
        decoder=(484_802, 481_600),
        critic=(407_201, 404_200),
    ),
    ("mixture25-paper", "gan"): sizes(
        2,
        890_003,
        decoder=(484_802, 481_600),
        critic=(405_201, 402_200),
    ),
}
SIZES["tinyimagenet64", "ali"] = SIZES["imagenet64", "ali"]


class Schedule(NamedTuple):
    """How long a recipe trains on how many rows of train, validation and test."""

    epochs: int
    batch_size: int
    steps: int
    rows: tuple[int, int, int]


SCHEDULES = {
    "cifar10": Schedule(6475, 100, 2_913_750, (45_000, 5_000, 10_000)),
    "svhn": Schedule(100, 100, 531_200, (531_131, 73_257, 26_032)),
    "celeba64": Schedule(123, 100, 200_244, (162_770, 19_867, 19_962)),
    "celeba64-conditional": Schedule(123, 128, 156_456, (162_770, 19_867, 19_962)),
    "imagenet64": Schedule(125, 128, 1_251_250, (1_281_167, 50_000, 100_000)),
    "tinyimagenet64": Schedule(125, 128, 97_750, (100_000, 10_000, 10_000)),
}
SLOPES = {"cifar10": 0.1, "svhn": 0.01, "celeba64": 0.02, "imagenet64": 0.01}
MODELS = ("ali", "gan", "vae", "conditional-ali", "conditional-gan", "conditional-vae")


def model_of(recipe):
    return "conditional-ali" if recipe == "celeba64-conditional" else "ali"


def shown(say, recipe, model=None, **settings):
    """Return what `genzoo show` says of the recipe, with settings of its architecture."""
    assignments = [part for name, value in settings.items() for part in ("--set", f"architecture.{name}={value}")]
    return say("show", f"recipe:{recipe}", "--model", model or model_of(recipe), *assignments, "--json").document


def built(recipe, model, **changes):
    """Return the networks of a model on a recipe, on the meta device, with other settings of the architecture."""
    known = find_recipe(registry(), recipe)
    with torch.device("meta"):
        return find_game(registry(), model).build(replace(known.architecture, **changes), known.dataset.spec)


def settings_of(recipe):
    """Return the settings of ALI on a recipe."""
    return resolve_settings(ALI(), find_recipe(registry(), recipe), (), resolve=registry().resolve)


def stacks_of(networks):
    """Return the stacks of encoder, decoder and critic by network and table, in the order of the tables."""
    return {tuple(name.split(".")): module for name, module in networks.named_modules() if isinstance(module, Stack)}


def parameters_of(module):
    return sum(parameter.numel() for parameter in module.parameters())


# The tables


@pytest.mark.parametrize(("recipe", "model"), SIZES, ids=["-".join(key) for key in SIZES])
def test_every_network_has_the_published_parameters_and_multiply_accumulates(say, recipe, model):
    size, card = SIZES[recipe, model], shown(say, recipe, model)
    assert {name: network["parameters"] for name, network in card["networks"].items()} == size.parameters
    assert {name: network["macs"] for name, network in card["networks"].items()} == size.macs
    assert sum(size.parameters.values()) == size.total
    assert card["architecture"]["latent"] == size.latent


@pytest.mark.parametrize("network", ["encoder", "decoder", "critic"])
@pytest.mark.parametrize("recipe", PRINTED)
def test_every_layer_of_every_table_is_as_published(say, recipe, network):
    lines = [(key[1], line) for key, table in PRINTED[recipe].items() if key[0] == network for line in table]
    expected = [line.shown(number, table) for number, (table, line) in enumerate(lines, start=1)]
    assert shown(say, recipe)["networks"][network]["layers"] == expected


@pytest.mark.parametrize("recipe", PRINTED)
def test_the_published_tables_add_up(recipe):
    size = SIZES[recipe, model_of(recipe)]
    for network in ("encoder", "decoder", "critic"):
        lines = [line for key, table in PRINTED[recipe].items() if key[0] == network for line in table]
        assert sum(line.parameters for line in lines) == size.parameters[network]
        assert sum(line.macs for line in lines) == size.macs[network]
    for table, parameters in TOWERS[recipe].items():
        assert sum(line.parameters for line in PRINTED[recipe]["critic", table]) == parameters


@pytest.mark.parametrize("recipe", PRINTED)
def test_the_modules_have_the_published_weights_biases_batch_norms_and_dropout(recipe):
    networks = built(recipe, model_of(recipe))
    stacks = stacks_of(networks)
    assert list(stacks) == list(PRINTED[recipe])
    for key, lines in PRINTED[recipe].items():
        for layer, line in zip(stacks[key].layers, lines, strict=True):
            maps = [module for module in layer if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)]
            norms = [module for module in layer if isinstance(module, nn.BatchNorm2d)]
            drops = [module.p for module in layer if isinstance(module, nn.Dropout)]
            assert drops == ([line.input_dropout] if line.input_dropout else [])
            assert isinstance(layer[0], nn.Dropout if drops else nn.Conv2d | nn.ConvTranspose2d)
            assert [module.weight.numel() for module in maps] == [line.weights]
            assert sum(map(parameters_of, norms)) == line.norms
            assert parameters_of(layer) == line.parameters
            assert [module.padding for module in maps] == [(0, 0)]
    size = SIZES[recipe, model_of(recipe)]
    assert {name: parameters_of(part) for name, part in networks.named_children()} == size.parameters
    assert parameters_of(networks) == size.total


# Variants of the tables


def critic_lines(recipe, **changes):
    """Return the lines of the critic as `genzoo show` has them, fields of D(x) changed to one value per line."""
    tables = {key[1]: table for key, table in PRINTED[recipe].items() if key[0] == "critic"}
    for field, values in changes.items():
        tables["x"] = [line._replace(**{field: value}) for line, value in zip(tables["x"], values, strict=True)]
    lines = [(name, line) for name, table in tables.items() for line in table]
    return [line.shown(number, name) for number, (name, line) in enumerate(lines, start=1)]


UNTIED = [32 * 28 * 28, 64 * 13 * 13, 128 * 10 * 10, 256 * 4 * 4, 512]


@pytest.mark.parametrize(
    ("x_bias", "kinds", "biases", "parameters", "total"),
    [
        ("tied", ["tied"] * 5, [32, 64, 128, 256, 512], 1_396_032, 2_611_009),
        ("untied", ["untied"] * 5, UNTIED, 1_448_352, 2_663_329),
        ("first", ["tied", *["none"] * 4], [32, 0, 0, 0, 0], 1_395_072, 2_610_049),
    ],
)
def test_the_biases_of_the_cifar10_critic_may_be_those_of_other_weeks(say, x_bias, kinds, biases, parameters, total):
    critic = shown(say, "cifar10", x_bias=x_bias)["networks"]["critic"]
    assert critic["layers"] == critic_lines("cifar10", bias=kinds, biases=biases)
    assert sum(layer["parameters"] for layer in critic["layers"][:5]) == parameters
    assert (critic["parameters"], critic["macs"]) == (total, 17_659_904)
    assert parameters_of(built("cifar10", "ali", x_bias=x_bias).critic.x) == parameters


def test_untied_biases_of_the_cifar10_critic_are_53312_numbers():
    tower = built("cifar10", "ali", x_bias="untied").critic.x
    biases = [module.bias.shape for module in tower.modules() if isinstance(module, UntiedBias)]
    assert [prod(shape) for shape in biases] == UNTIED
    assert sum(UNTIED) == 53_312


def test_the_cifar10_critic_may_count_its_maps_after_the_maximum(say):
    critic = shown(say, "cifar10", maxout_width="post")["networks"]["critic"]
    towers = dict.fromkeys(("x", "z", "joint"), 0)
    for layer in critic["layers"]:
        towers[layer["table"]] += layer["parameters"]
    assert towers == {"x": 5_577_344, "z": 589_824, "joint": 4_199_425}
    assert (critic["parameters"], critic["macs"]) == (10_366_593, 66_809_856)
    outputs = [[32, 28, 28], [64, 13, 13], [128, 10, 10], [256, 4, 4], [512, 1, 1], *[[512, 1, 1]] * 2]
    assert [layer["output"] for layer in critic["layers"]] == [*outputs, [1024, 1, 1], [1024, 1, 1], [1, 1, 1]]
    assert critic["layers"][7]["input"] == [1024, 1, 1]
    assert parameters_of(built("cifar10", "ali", maxout_width="post").critic) == 10_366_593


def test_dropout_of_the_cifar10_critic_may_be_where_a_slice_of_the_code_put_it(say):
    critic = shown(say, "cifar10", dropout_pattern="official")["networks"]["critic"]
    drops = {"input_dropout": [0.2, 0.5, 0.0, 0.0, 0.5], "dropout": [0.0, 0.0, 0.5, 0.0, 0.0]}
    assert critic["layers"] == critic_lines("cifar10", **drops)
    rows = built("cifar10", "ali", dropout_pattern="official").critic.x.layers
    assert [[type(step) for step in row] for row in rows] == [
        [nn.Dropout, nn.Conv2d, MaxoutLayer],
        [nn.Dropout, nn.Conv2d, MaxoutLayer],
        [nn.Conv2d, nn.Dropout, MaxoutLayer],
        [nn.Conv2d, MaxoutLayer],
        [nn.Dropout, nn.Conv2d, MaxoutLayer],
    ]
    assert [row[index].p for row, index in zip(rows, (0, 0, 1), strict=False)] == [0.2, 0.5, 0.5]
    assert rows[4][0].p == 0.5


def test_the_celeba_critic_may_be_as_printed(say):
    critic = shown(say, "celeba64", x_rows="printed")["networks"]["critic"]
    first = PRINTED["celeba64"]["critic", "x"][0]
    assert critic["layers"] == critic_lines(
        "celeba64",
        input_dropout=[0.0] * 5,
        normed=[True] * 5,
        bias=["none"] * 5,
        biases=[0] * 5,
        norms=[2 * first.output[0], *(line.norms for line in PRINTED["celeba64"]["critic", "x"][1:])],
    )
    assert sum(layer["parameters"] for layer in critic["layers"][:5]) == 6_532_224
    assert critic["parameters"] == 15_189_121
    tower = built("celeba64", "ali", x_rows="printed").critic.x
    assert not any(isinstance(module, nn.Dropout) for module in tower.modules())
    assert parameters_of(tower) == 6_532_224


# Training settings and notes


@pytest.mark.parametrize("recipe", SCHEDULES)
def test_training_is_as_published(say, recipe):
    card, schedule = shown(say, recipe), SCHEDULES[recipe]
    assert (
        card["training"]["steps"]
        == schedule.steps
        == schedule.epochs * math.ceil(schedule.rows[0] / schedule.batch_size)
    )
    assert card["training"]["batch_size"] == schedule.batch_size
    assert tuple(card["data"]["facts"]["rows"].values()) == schedule.rows
    optimizer = {"learning_rate": 1e-4, "beta1": 0.5, "beta2": 0.999, "epsilon": 1e-8}
    assert {name: card["training"][name] for name in optimizer} == optimizer
    assert (card["training"]["players"], card["training"]["averaging"]) == ({}, None)
    assert card["prior"] == {"name": "standard-normal"}
    assert card["architecture"]["init_std"] == 0.01


def test_the_toy_is_trained_as_the_released_script_does(say):
    card = shown(say, "mixture25-paper")
    optimizer = {"learning_rate": 1e-4, "beta1": 0.2, "beta2": 0.999, "epsilon": 1e-8}
    assert {name: card["training"][name] for name in optimizer} == optimizer
    assert (card["training"]["steps"], card["training"]["batch_size"]) == (200 * 1000, 100)
    assert card["architecture"]["init_std"] == 0.02


# Where a recipe departs from what was printed, a word of the note that says so each
DEVIATIONS = {
    "cifar10": (
        "β2 is 0.999",
        "D(x, z) reads 512 maps",
        "dropout_pattern=official",
        "x_bias=untied",
        "1×1 transposed convolution",
        "logit",
        "log-odds",
        "last 5,000 training images",
    ),
    "svhn": ("β2 is 0.999", "extra split", "1×1 transposed convolution", "logit", "none in D(z)", "log-odds"),
    "celeba64": (
        "β2 is 0.999",
        "read 256 maps",
        "reads 1536",
        "x_rows=printed",
        "dropout 0.2",
        "logit",
        "none in D(z)",
        "log-odds",
    ),
    "celeba64-conditional": ("no table", "batch size", "one linear embedding", "train_embedding=frozen", "equation 7"),
    "imagenet64": ("β2 is 0.999", "calls Tiny ImageNet", "125 epochs", "logit", "D(z) has them", "log-odds"),
    "tinyimagenet64": ("β2 is 0.999", "ILSVRC2012", "97,750 steps", "logit", "D(z) has them", "log-odds"),
    "mixture25-paper": ("β1 is 0.2 and β2 0.999", "different seeds"),
}
DEVIATIONS["celeba64-conditional"] += DEVIATIONS["celeba64"]


@pytest.mark.parametrize("recipe", DEVIATIONS)
def test_the_notes_say_where_a_recipe_departs_from_what_was_printed(say, recipe):
    notes = shown(say, recipe)["notes"]
    assert [word for word in DEVIATIONS[recipe] if not any(word in note for note in notes)] == []


def test_the_notes_of_tinyimagenet64_point_to_imagenet64_for_the_papers_data(say):
    (note,) = [note for note in shown(say, "tinyimagenet64")["notes"] if "paper's data" in note]
    assert "not the paper's data" in note
    assert "the recipe imagenet64" in note
    assert "1,281,167" in note
    back = next(note for note in shown(say, "imagenet64")["notes"] if "tinyimagenet64" in note)
    assert "200-class" in back


# Models on the recipes


@pytest.mark.parametrize("recipe", ["digits", *SCHEDULES])
@pytest.mark.parametrize("model", MODELS)
def test_every_model_can_be_built_on_every_image_recipe(recipe, model):
    networks = built(recipe, model)
    known = find_recipe(registry(), recipe)
    sizes = known.dataset.spec.shape, (known.architecture.latent,), (known.dataset.spec.condition_size,)
    x, z, y = (torch.empty(3, *size, device="meta") for size in sizes)
    y = y if model.startswith("conditional") else None
    assert networks.is_conditional == (y is not None)
    assert networks.decode(z, y).shape == x.shape
    has = {name for name in ("encoder", "decoder", "critic") if getattr(networks, name) is not None}
    without = {"ali": "", "gan": "encoder", "vae": "critic"}[model.removeprefix("conditional-")]
    assert has == {"encoder", "decoder", "critic"} - {without}
    if networks.encoder is not None:
        code = networks.encode(x, z, y)
        assert code.z.shape == code.mean.shape == code.log_std.shape == z.shape
    if networks.critic is not None:
        joint = Joint(
            x=x, z=None if networks.encoder is None else z, y=networks.embed(y) if networks.is_conditional else None
        )
        assert networks.judge(joint).logits.shape == (3,)


@pytest.mark.parametrize("recipe", ["folder32", "folder32-paper", "folder64"])
def test_folders_take_conditional_models_only_where_sub_folders_are_classes(recipe):
    known = find_recipe(registry(), recipe)
    for model in MODELS:
        game = find_game(registry(), model)
        if model.startswith("conditional"):
            with pytest.raises(SettingsError, match="a conditional model needs labels"):
                game.build(known.architecture, known.dataset.spec)
        with torch.device("meta"):
            assert game.build(known.architecture, replace(known.dataset, classes=("cat", "dog")).spec).decoder


@pytest.mark.parametrize("model", ["gan", "conditional-gan"])
@pytest.mark.parametrize("recipe", ["digits", "mixture25", "mixture25-paper", *SCHEDULES])
def test_the_critic_of_a_gan_has_no_z_tower(recipe, model):
    critic = built(recipe, model).critic
    assert critic.z is None
    assert {key[0] for key in stacks_of(critic)} == {"x", "joint"}
    features = prod(critic.x.output)
    embedded = built(recipe, model).embedder.out_features if model == "conditional-gan" else 0
    assert prod(critic.joint.given) == features + embedded


@pytest.mark.parametrize("recipe", [name for name in PRINTED if name != "celeba64-conditional"])
def test_a_vae_takes_the_gaussian_encoder_and_the_decoder_of_the_tables(say, recipe):
    ali, vae = (shown(say, recipe, model)["networks"] for model in ("ali", "vae"))
    assert vae == {name: ali[name] for name in ("encoder", "decoder")}
    assert built(recipe, "vae").encoder.posterior == "gaussian"


def test_a_vae_takes_a_gaussian_encoder_where_the_recipes_own_is_another():
    assert built("mixture25-paper", "ali").encoder.posterior == "implicit"
    assert built("mixture25-paper", "vae").encoder.posterior == "gaussian"
    assert built("mixture25-paper", "conditional-vae").encoder.posterior == "gaussian"
    assert parameters_of(built("mixture25-paper", "vae").encoder) == 164_004


@pytest.mark.parametrize("recipe", SLOPES)
def test_a_recipe_without_a_model_is_shown_with_the_networks_of_ali(recipe):
    known = find_recipe(registry(), recipe)
    assert networks_card(networks_of(known)) == networks_card(networks_of(settings_of(recipe)))


# The built networks


class Start(NamedTuple):
    """A recipe's networks of ALI before their first step, and the 500 images that they were started from."""

    recipe: str
    networks: nn.Module
    images: torch.Tensor


@pytest.fixture(scope="module", params=SLOPES)
def start(request):
    """Return ALI's initial networks on one of the recipes."""
    shape = find_recipe(registry(), request.param).dataset.spec.shape
    ramp = torch.linspace(0, 1, prod(shape)).view(shape)
    images = (torch.rand(500, *shape, generator=torch.Generator().manual_seed(1)) + ramp) / 2
    images[:, 0, 0, 0], images[:, 0, 0, 1] = 0.0, 1.0
    networks = initial_networks(settings_of(request.param), images, seed=3)
    return Start(request.param, networks, images)


def test_weights_start_normal_with_deviation_one_hundredth_and_biases_at_zero(start):
    maps = [m for m in start.networks.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(maps) == sum(len(table) for table in PRINTED[start.recipe].values())
    for module in maps:
        weight = module.weight.detach().double()
        assert abs(weight.mean().item()) < 5 * 0.01 / weight.numel() ** 0.5
        assert weight.std().item() == pytest.approx(0.01, abs=5 * 0.01 / (2 * weight.numel()) ** 0.5)
        assert module.bias is None or not module.bias.any()


def test_every_layer_has_the_settings_of_the_code(start):
    norms = [module for module in start.networks.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum, norm.affine) for norm in norms} == {(1e-4, 0.05, True)}
    assert all((norm.weight == 1).all() and (norm.bias == 0).all() for norm in norms)
    slopes = {m.negative_slope for m in start.networks.modules() if isinstance(m, nn.LeakyReLU)}
    assert slopes == {SLOPES[start.recipe]}


def test_what_layers_really_give_has_the_published_shapes(start):
    networks = start.networks.eval()
    shapes = {}
    for key, stack in stacks_of(networks).items():
        for number, layer in enumerate(stack.layers):
            layer.register_forward_hook(
                lambda _, inputs, output, place=(key, number): shapes.update({place: (inputs[0].shape, output.shape)})
            )
    x, latent = start.images[:2], SIZES[start.recipe, "ali"].latent
    with torch.no_grad():
        code = networks.encode(x, torch.randn(2, latent))
        again = networks.decoder.stack(code.z)
        verdict = networks.judge(Joint(x=again, z=code.z))
    assert shapes == {
        (key, number): ((2, *line.given), (2, *line.output))
        for key, lines in PRINTED[start.recipe].items()
        for number, line in enumerate(lines)
    }
    assert code.z.shape == code.mean.shape == code.log_std.shape == (2, latent)
    assert verdict.logits.shape == (2,)
    assert torch.equal(again, networks.decode(code.z))


def test_the_output_bias_starts_at_the_log_odds_of_the_mean_image(start):
    (bias,) = [module.bias for module in start.networks.decoder.modules() if isinstance(module, UntiedBias)]
    mean = start.images.numpy().astype(numpy.float64).mean(axis=0).clip(1e-7, 1 - 1e-7)
    expected = numpy.log(mean) - numpy.log1p(-mean)
    assert expected[0, 0, 0] == pytest.approx(-expected[0, 0, 1]) == pytest.approx(math.log(1e-7))
    numpy.testing.assert_allclose(bias.detach().numpy(), expected, rtol=1e-6, atol=1e-6)


def test_the_first_samples_are_about_the_mean_image(start):
    with torch.no_grad():
        samples = start.networks.decoder.train()(torch.randn(16, SIZES[start.recipe, "ali"].latent))
    assert (samples.mean(0) - start.images.mean(0)).abs().mean() < 0.02


# The first steps


@dataclass(frozen=True, kw_only=True)
class Noise(Dataset):
    """64 random images of 32×32 with CelebA's attributes at random."""

    name: ClassVar[str] = "noise"

    @property
    def spec(self):
        return DataSpec(shape=(3, 32, 32), support="unit", attributes=ATTRIBUTES)

    def load(self, root):
        source = torch.Generator().manual_seed(4)
        x = torch.randint(256, (64, 3, 32, 32), generator=source, dtype=torch.uint8)
        labels = torch.randint(2, (64, len(ATTRIBUTES)), generator=source, dtype=torch.uint8)
        return Splits(*[Split(x, labels)] * 3)


THIRTYTWO = {"cifar10": CIFAR10Networks(), "svhn": SVHNNetworks()}


def trainer_of(game, architecture, *, batch_size=16):
    training = Training(steps=4, batch_size=batch_size, learning_rate=1e-4, beta1=0.5)
    return trainers.trainer_of(game, seed=6, dataset=Noise(), architecture=architecture, training=training)


@pytest.mark.parametrize("recipe", THIRTYTWO)
def test_both_losses_start_within_three_hundredths_of_two_log_two(recipe):
    losses = trainer_of(ALI(), THIRTYTWO[recipe]).take_step().players
    assert losses["critic"].item() == pytest.approx(2 * math.log(2), abs=0.03)
    assert losses["generator"].item() == pytest.approx(2 * math.log(2), abs=0.03)


@pytest.mark.parametrize(("recipe", "coupled"), [("cifar10", False), ("svhn", True)])
def test_batch_norm_in_the_critic_lets_the_decoder_feel_the_term_of_the_data_side(recipe, coupled):
    trainer = trainer_of(ALI(), THIRTYTWO[recipe])
    networks = trainer.networks
    assert networks.critic.couples_rows is coupled
    round = ALI().play(networks, trainer.stream.batch(0))
    decoder, encoder = list(networks.decoder.parameters()), list(networks.encoder.parameters())
    # both sides are one batch, so every gradient is there, if only to be exactly zero
    on_data = torch.autograd.grad(softplus(round.on_q.logits).mean(), [*encoder, *decoder], retain_graph=True)
    assert all(gradient.any() for gradient in on_data[: len(encoder)])
    assert all(gradient.any() for gradient in on_data[len(encoder) :]) is coupled
    assert any(gradient.any() for gradient in on_data[len(encoder) :]) is coupled
    # D(x) alone has batch norm, and the encoder's z does not pass it
    on_samples = torch.autograd.grad(softplus(-round.on_p.logits).mean(), [*decoder, *encoder])
    assert all(gradient.any() for gradient in on_samples[: len(decoder)])
    assert not any(gradient.any() for gradient in on_samples[len(decoder) :])


@pytest.mark.parametrize("recipe", ["celeba64", "celeba64-conditional", "imagenet64", "tinyimagenet64"])
def test_the_critics_of_the_64_by_64_recipes_couple_rows(recipe):
    assert built(recipe, model_of(recipe)).critic.couples_rows


# The embedding


def test_one_linear_map_embeds_the_forty_attributes_for_all_three_networks():
    networks = built("celeba64-conditional", "conditional-ali")
    assert [m for m in networks.modules() if isinstance(m, nn.Linear)] == [networks.embedder]
    assert isinstance(networks.embedder, LinearEmbedder)
    assert (networks.embedder.in_features, networks.embedder.out_features) == (40, 256)
    assert networks.embedder.bias.shape == (256,)
    assert parameters_of(networks.embedder) == 40 * 256 + 256 == 10_496


def test_the_embedding_enters_before_the_encoders_head_beside_z_and_critic_features():
    networks = built("celeba64-conditional", "conditional-ali")
    assert networks.encoder.body.given == (3, 64, 64)
    assert networks.encoder.head.given == (512 + 256, 1, 1)
    assert networks.decoder.stack.given == (256 + 256, 1, 1)
    assert networks.critic.z.given == (256, 1, 1)
    assert networks.critic.joint.given == (512 + 1024 + 256, 1, 1)
    assert isinstance(networks.critic, TableCritic)


@pytest.mark.parametrize("recipe", ["cifar10", "svhn", "celeba64", "imagenet64"])
def test_a_condition_is_embedded_in_as_many_numbers_as_z_has(recipe):
    networks = built(recipe, "conditional-ali")
    assert networks.embedder.out_features == SIZES[recipe, "ali"].latent


def players_with(networks, module):
    """Return the names of the players that own parameters of the module."""
    own = {id(parameter) for parameter in module.parameters()}
    players = ConditionalALI().players(networks)
    return {name for name, found in players.items() if own & {id(parameter) for parameter in found}}


def test_the_generator_trains_the_embedding_unless_it_is_frozen():
    trained = built("celeba64-conditional", "conditional-ali")
    frozen = built("celeba64-conditional", "conditional-ali", train_embedding="frozen")
    assert players_with(trained, trained.embedder) == {"generator"}
    assert players_with(frozen, frozen.embedder) == set()
    assert players_with(frozen, frozen.encoder) == players_with(frozen, frozen.decoder) == {"generator"}
    assert CelebA64Networks().train_embedding == "generator"


@pytest.mark.parametrize(("train_embedding", "moves"), [("generator", True), ("frozen", False)])
def test_an_embedding_is_bit_identical_after_two_steps_if_it_is_frozen(train_embedding, moves):
    trainer = trainer_of(ConditionalALI(), SVHNNetworks(train_embedding=train_embedding), batch_size=4)
    before = {name: tensor.clone() for name, tensor in trainer.networks.state_dict().items()}
    assert before["embedder.weight"].std().item() == pytest.approx(0.01, abs=5 * 0.01 / (2 * 40 * 256) ** 0.5)
    for _ in range(2):
        trainer.take_step()
    after = trainer.networks.state_dict()
    for name in ("embedder.weight", "embedder.bias"):
        assert torch.equal(after[name], before[name]) is not moves
    for name in ("encoder.head.layers.0.0.weight", "decoder.stack.layers.0.0.weight", "critic.joint.layers.0.1.weight"):
        assert not torch.equal(after[name], before[name])
    assert any("embedder" in name for name in trainer.state()["optimizers"]) is moves


@pytest.mark.parametrize("game", [ConditionalALI(), ConditionalGAN()], ids=lambda game: game.name)
def test_the_embedding_is_not_trained_through_the_critic(game):
    trainer = trainer_of(game, CIFAR10Networks(), batch_size=4)
    networks, batch = trainer.networks, trainer.stream.batch(0)
    round = game.play(networks, batch)
    embedded = networks.embed(batch.y)
    assert embedded.requires_grad
    for side in (round.q, round.p):
        assert torch.equal(side.y, embedded)
        assert not side.y.requires_grad
    # with x and z held, nothing leads from the critic's verdict to the embedding
    x, z, y = round.shown
    verdict = networks.judge(Joint(x=x.detach(), z=None if z is None else z.detach(), y=y))
    weight = networks.embedder.weight
    assert torch.autograd.grad(verdict.logits.sum(), weight, allow_unused=True) == (None,)
    assert torch.autograd.grad(round.on_p.logits.sum(), weight)[0].any()
