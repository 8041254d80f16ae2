"""BigBiGAN's critic: scores of x and of z alone beside that of the pair."""

import torch

from genzoo import Joint
from genzoo.nn import JointCritic, row_wise
from genzoo.types import Verdict


@row_wise
class WithUnaryScores(JointCritic):
    """A critic of (x, z), one of x and one of z, each with a logit (Donahue and Simonyan, 2019, section 2).

    They share no layers; in the paper, the critic of the pair reads what the others make of x and of z.
    """

    outputs = 3

    def __init__(self, of_pair: JointCritic, of_x: JointCritic, of_z: JointCritic) -> None:
        super().__init__()
        self.of_pair = of_pair
        self.of_x = of_x
        self.of_z = of_z

    def forward(self, joint: Joint) -> Verdict:
        """Return the logits (N, 3) of pair, x and z, and the features of the pair."""
        of_pair, of_x, of_z = self.of_pair(joint), self.of_x(Joint(x=joint.x)), self.of_z(Joint(z=joint.z))
        return Verdict(torch.stack([of_pair.logits, of_x.logits, of_z.logits], dim=1), of_pair.features)

    def layers(self, joint: Joint) -> dict[str, torch.Tensor]:
        """Return those of the critic of pairs."""
        return self.of_pair.layers(joint)
