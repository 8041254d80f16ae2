"""DCGAN's and the residual recipes: sizes of their networks, against hand computation, and steps of small ones."""

from math import prod

import pytest
import torch
from trainers import job_of_request, new_trainer

from genzoo import SettingsError
from genzoo.evaluation.cards import networks_card, networks_of
from genzoo.nn.table_modules import ResidualBlock
from genzoo.types import DataSpec, Joint
from genzoo_recipes.dcgan import DCGANNetworks
from genzoo_recipes.images import halvings
from genzoo_recipes.residual import R3GANNetworks, SNResNetNetworks

RGB32, RGB64 = (DataSpec(shape=(3, side, side), support="unit") for side in (32, 64))
RECIPES = ("dcgan32", "dcgan64", "sn-resnet32", "r3gan32", "r3gan64")


def norm(*widths):
    """Return the parameters of batch norm after rows of these widths."""
    return 2 * sum(widths)


def of_network(network):
    """Return the shapes of the outputs of a network's only table with rows of maps, input first."""
    return [card.output for card in network.cards]


def test_dcgan_has_the_published_maps_and_features():
    networks = DCGANNetworks()
    assert [shape[0] for shape in of_network(networks.decoder(RGB64).stack)] == [1024, 512, 256, 128, 3]
    assert [shape[1] for shape in of_network(networks.decoder(RGB64).stack)] == [4, 8, 16, 32, 64]
    critic = networks.critic(RGB32, sees="x")
    assert of_network(critic.x) == [(64, 16, 16), (128, 8, 8), (256, 4, 4)]
    # Radford's features for the SVM: every layer's maps pooled to 4 × 4
    assert sum(16 * maps for maps, *_ in of_network(critic.x)) == 7168


def test_dcgan_has_as_many_parameters_as_its_tables_say():
    card = networks_card(networks_of(job_of_request("gan", recipe="dcgan64").settings))
    weights = 16 * (100 * 1024 + 1024 * 512 + 512 * 256 + 256 * 128 + 128 * 3)
    assert card["decoder"]["parameters"] == weights + norm(1024, 512, 256, 128) + 3 * 64 * 64
    weights = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512)
    assert card["critic"]["parameters"] == weights + 64 + norm(128, 256, 512) + (512 * 16 + 1)


def test_the_networks_of_spectral_norm_have_the_parameters_of_their_blocks():
    card = networks_card(networks_of(job_of_request("gan", recipe="sn-resnet32").settings))

    def conv(given, maps, kernel):
        return given * maps * kernel**2 + maps

    up = norm(256) + (256 * 256 * 9 + norm(256)) + conv(256, 256, 3) + conv(256, 256, 1)
    output = 256 * 3 * 9 + 3 * 32 * 32
    assert card["decoder"]["parameters"] == conv(128, 256, 4) + 3 * up + norm(256) + output
    first = conv(3, 128, 3) + conv(128, 128, 3) + conv(3, 128, 1)
    half, same = 2 * conv(128, 128, 3) + conv(128, 128, 1), 2 * conv(128, 128, 3)
    assert card["critic"]["parameters"] == first + half + 2 * same + (128 + 1)
    assert card["critic"]["macs"] == sum(layer["macs"] for layer in card["critic"]["layers"])


def test_a_critic_of_residual_blocks_does_not_couple_rows_and_sums_over_places():
    for architecture in (R3GANNetworks(width=2), SNResNetNetworks(width=2)):
        assert not architecture.critic(RGB32, sees="xz").couples_rows
    critic = SNResNetNetworks(width=2).critic(RGB32, sees="x").eval()
    x = torch.rand(1, 3, 32, 32)
    (before, after) = list(critic.layers(Joint(x=x)).values())[-2:]
    torch.testing.assert_close(after.flatten(), before.sum((0, 2, 3)))


def test_r3gan_has_no_norm_and_its_blocks_start_as_the_identity():
    trainer = small("gan", "r3gan32")
    modules = list(trainer.networks.modules())
    blocks = [module for module in modules if isinstance(module, ResidualBlock)]
    assert len(blocks) == 16  # two per side 4, 8, 16, 32, in both networks
    assert not [module for module in modules if "Norm" in type(module).__name__]
    for block in blocks:
        x = torch.rand(2, next(block.parameters()).shape[1], 4, 4)
        assert torch.equal(block(x), x)
    trainer.take_step()
    assert any(not torch.equal(block(x), x) for block in blocks if next(block.parameters()).shape[1] == x.shape[1])


def test_r3gan_is_trained_with_a_falling_penalty_and_learning_rate():
    settings = job_of_request("ali", recipe="r3gan32").settings
    assert settings.training.steps == 39_063  # 20 million images, 512 at a time
    schedules = settings.training.learning_rate_schedule, settings.game.penalty.schedule
    ends = [float(schedule.factor(torch.tensor(1.0))) for schedule in schedules]
    assert (settings.training.learning_rate * ends[0], settings.game.penalty.weight * ends[1]) == pytest.approx(
        (5e-5, 0.005)
    )
    assert settings.game.objective.name == "relativistic"


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("model", ["gan", "ali", "vae"])
def test_a_small_one_takes_steps(model, recipe):
    trainer = small(model, recipe)
    before = [parameter.clone() for parameter in trainer.networks.parameters()]
    # The decoder of sn-resnet32 moves in the sixth step. Rows below one that starts at 0 move in the second.
    losses = [trainer.take_step() for _ in range(6 if recipe == "sn-resnet32" else 2)]
    assert all(torch.isfinite(value) for each in losses for value in each.players.values())
    moved = [not torch.equal(*pair) for pair in zip(before, trainer.networks.parameters(), strict=True)]
    assert sum(moved) > len(moved) / 2


def small(model, recipe):
    """Return a training of a recipe with narrow networks and batches of three."""
    overrides = {"architecture.width": 2, "training.batch_size": 3, "architecture.latent": 4}
    return new_trainer(model, recipe=recipe, overrides=overrides)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_recipes_take_folders_of_their_size(say, recipe):
    side = 64 if "64" in recipe else 32
    chosen = ("--set", "dataset=folder", "--set", f"dataset.size={side}", "--json")
    card = say("show", f"recipe:{recipe}", "--model", "gan", *chosen).document
    assert card["data"]["name"] == "folder"
    assert prod(card["networks"]["decoder"]["layers"][-1]["output"]) == 3 * side * side


def test_images_that_are_never_halved_to_4_are_refused():
    assert [halvings(DataSpec(shape=(1, side, side), support="unit")) for side in (8, 16, 64)] == [1, 2, 4]
    for shape in ((3, 28, 28), (3, 4, 4), (3, 32, 64), (2,)):
        with pytest.raises(SettingsError, match="expected square images"):
            DCGANNetworks().decoder(DataSpec(shape=shape, support="unit"))
