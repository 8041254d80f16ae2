"""The hidden layers of a critic: none unless it says so, and those of tables row by row."""

import pytest
import torch
from toy_components import ToyImageNetworks, ToyImages, ToyMixture, ToyNetworks

from genzoo import Joint
from genzoo.nn import JointCritic, Linear, ReLU, TableCritic
from genzoo.types import Verdict

PLANE = ToyMixture().spec


class Silent(JointCritic):
    """A critic that says nothing of its layers."""

    def forward(self, joint):
        return Verdict(joint.x.sum(1), joint.x)


def joint_of(shape, latent, condition=0):
    source = torch.Generator().manual_seed(0)
    y = torch.randn(5, condition, generator=source) if condition else None
    return Joint(
        x=torch.randn(5, *shape, generator=source),
        z=torch.randn(5, latent, generator=source),
        y=y,
    )


def test_a_critic_offers_no_layers_by_default():
    assert Silent().layers(joint_of((2,), 2)) == {}


@pytest.mark.parametrize(
    ("architecture", "data", "sees", "condition", "shapes"),
    [
        (ToyNetworks(), ToyMixture(), "xz", 0, {"joint.1": (8,), "joint.2": (8,), "joint.3": (8,)}),
        (ToyImageNetworks(), ToyImages(), "xz", 3, {"x.1": (4, 3, 3), "z.1": (8,), "joint.1": (8,)}),
        (ToyImageNetworks(), ToyImages(), "x", 0, {"x.1": (4, 3, 3), "joint.1": (8,)}),
        (ToyImageNetworks(), ToyImages(), "z", 0, {"z.1": (8,), "joint.1": (8,)}),
    ],
    ids=["vectors", "images", "x alone", "z alone"],
)
@pytest.mark.parametrize("outputs", [1, 3])
def test_the_hidden_rows_of_a_table_critic_are_its_layers_and_the_last_is_its_features(
    architecture, data, sees, condition, shapes, outputs
):
    critic = architecture.critic(data.spec, sees=sees, condition=condition, outputs=outputs).eval()
    joint = joint_of(data.spec.shape, architecture.latent, condition)
    layers = critic.layers(joint)
    assert {name: tuple(layer.shape[1:]) for name, layer in layers.items()} == shapes
    assert list(layers) == list(shapes)
    assert torch.equal(list(layers.values())[-1].flatten(1), critic(joint).features)
    assert critic(joint).features.shape[1] == critic.feature_size


def test_a_layer_is_what_its_row_gives():
    tables = {"x_table": (Linear(width=3, nonlinearity=ReLU()),), "z_table": (), "joint_table": (Linear(width=1),)}
    critic = TableCritic(PLANE, latent=2, **tables)
    joint = joint_of((2,), 2)
    linear = critic.x.layers[0][0]
    assert torch.equal(critic.layers(joint)["x.1"], (joint.x @ linear.weight.T + linear.bias).relu())
    assert list(critic.layers(joint)) == ["x.1"]


def test_gradients_reach_the_input_through_a_layer():
    critic = ToyNetworks().critic(PLANE)
    joint = joint_of((2,), 2)
    joint.x.requires_grad_()
    critic.layers(joint)["joint.1"].sum().backward()
    assert joint.x.grad.abs().sum() > 0
