"""Codes whose first numbers are probabilities of classes: their encoder, and a critic of both parts."""

import torch
from torch import Tensor

from genzoo import Joint
from genzoo.nn import Encoder, JointCritic, row_wise
from genzoo.types import Code, Verdict

_LEAST = 1e-8
"""The probability below which a class counts as this probable."""


@row_wise
class ClassAndStyle(Encoder):
    """An encoder (N, K + style) with a softmax over its first K numbers."""

    def __init__(self, encoder: Encoder, *, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.classes = classes

    def forward(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> Code:
        """Return class probabilities and style of `x` (N, *shape)."""
        z = self.encoder(x, noise, y).z
        z = torch.cat([z[:, : self.classes].softmax(1), z[:, self.classes :]], dim=1)
        return Code(z=z, mean=z)

    def features(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return those of the encoder."""
        return self.encoder.features(x, y)

    def log_probabilities(self, z: Tensor) -> Tensor:
        """Return the logarithms (N, K) of the class probabilities in codes `z` (N, K + style)."""
        return z[:, : self.classes].clamp(min=_LEAST).log()


@row_wise
class TwoCritics(JointCritic):
    """A critic of the class and one of the style in z, with a logit each."""

    outputs = 2

    def __init__(self, of_class: JointCritic, of_style: JointCritic, *, classes: int) -> None:
        super().__init__()
        self.of_class = of_class
        self.of_style = of_style
        self.classes = classes

    def forward(self, joint: Joint) -> Verdict:
        """Return the logits (N, 2) of both parts, and their features side by side."""
        assert joint.z is not None
        verdicts = [
            self.of_class(Joint(z=joint.z[:, : self.classes])),
            self.of_style(Joint(z=joint.z[:, self.classes :])),
        ]
        logits = torch.stack([verdict.logits for verdict in verdicts], dim=1)
        return Verdict(logits, torch.cat([verdict.features for verdict in verdicts], dim=1))
