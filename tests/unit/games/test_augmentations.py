"""DiffAugment against its definition, and its adaptive probability step by step."""

from dataclasses import replace

import pytest
import torch
from toy_components import TRAINING, ToyImageNetworks, ToyImages, ToyMixture, WithEncoder, WithoutEncoder
from trainers import trainer_of

from genzoo.errors import SettingsError
from genzoo.games import DiffAugment, LinearSchedule, Relativistic
from genzoo.types import DataSpec

SPEC = DataSpec(shape=(3, 16, 16), support="unit")
START = torch.tensor(0.0)
IMAGES = {"dataset": ToyImages(), "architecture": ToyImageNetworks()}


def images(rows=200, *, border=0):
    """Return random images of the toy's shape, black in a border of so many pixels."""
    x = torch.rand(rows, *SPEC.shape, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(16, 16)
    mask[border : 16 - border, border : 16 - border] = 1
    return x * mask


def augmented(x, *, progress=START, **fields):
    torch.manual_seed(0)
    return DiffAugment(**fields).module(SPEC)(x, progress)


def test_without_operations_it_is_the_identity_bit_for_bit():
    x = images()
    assert torch.equal(augmented(x, operations=()), x)
    assert torch.equal(augmented(x, probability=0.0), x)


def test_translation_moves_images_by_up_to_an_eighth_and_loses_no_more_than_crosses_the_border():
    x = images(border=2)  # 16/8 = 2 pixels
    moved = augmented(x, operations=("translation",))
    torch.testing.assert_close(moved.sum((1, 2, 3)), x.sum((1, 2, 3)))
    shifts = {(down, right) for down in range(-2, 3) for right in range(-2, 3)}
    seen = set()
    for before, after in zip(x, moved, strict=True):
        places = [shift for shift in shifts if torch.equal(torch.roll(before, shift, (1, 2)), after)]
        assert len(places) == 1
        seen.add(places[0])
    assert seen == shifts


def test_cutout_hides_a_square_of_half_the_side():
    kept = augmented(torch.ones(500, *SPEC.shape), operations=("cutout",))
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    hidden = (kept == 0).sum((1, 2, 3)) / 3
    assert hidden.max() == 64  # 8 × 8, and less where the square crosses a border
    assert hidden.min() >= 16
    assert torch.equal(kept[:, 0], kept[:, 1])


def test_brightness_saturation_and_contrast_keep_to_their_ranges():
    grey = torch.full((2000, 3, 2, 2), 0.5)
    shift = augmented(grey, operations=("color",)) - 0.5  # of a grey image only brightness is left
    assert shift.min() > -0.25
    assert shift.max() < 0.25
    assert shift.mean().abs() < 0.02
    x = images(500)
    coloured = augmented(x, operations=("color",))
    spread, before = ((value - value.mean(1, keepdim=True)).flatten(1).norm(dim=1) for value in (coloured, x))
    assert (spread / before).max() < 2 * 1.5
    light, plain = (
        (value.mean(1) - value.mean((1, 2, 3)).view(-1, 1, 1)).flatten(1).norm(dim=1) for value in (coloured, x)
    )
    assert 0.5 < (light / plain).min() < (light / plain).max() < 1.5


def test_each_operation_is_applied_with_its_probability():
    x = images(2000, border=2)
    changed = (augmented(x, operations=("translation",), probability=0.5) != x).flatten(1).any(1).float().mean()
    assert changed.item() == pytest.approx(0.5 * 24 / 25, abs=0.05)
    schedule = LinearSchedule(last=0.0)
    assert torch.equal(augmented(x, schedule=schedule, progress=torch.tensor(1.0)), x)


def test_gradients_go_through_every_operation():
    x = images(50).requires_grad_()
    (slope,) = torch.autograd.grad(augmented(x).sum(), x)
    assert slope.isfinite().all()
    assert slope.flatten(1).abs().sum(1).min() > 0


@pytest.mark.parametrize("game", [WithEncoder(), WithoutEncoder()], ids=lambda game: game.name)
def test_both_sides_are_augmented_and_one_backward_still_serves_both_players(game):
    trainer = trainer_of(replace(game, augment=DiffAugment(operations=("cutout",))), **IMAGES)
    round = trainer.settings.game.play(trainer.networks, trainer.batch())
    rows = len(round.q.x)
    for side, shown in ((round.q.x, round.shown.x[:rows]), (round.p.x, round.shown.x[rows:])):
        hidden = shown == 0
        assert torch.equal(torch.where(hidden, shown, side), shown)
        assert hidden.any()
    assert trainer.per_player_reason is None


def test_the_same_step_draws_the_same_augmentation():
    first, second = (trainer_of(WithEncoder(augment=DiffAugment()), **IMAGES) for _ in range(2))
    for trainer in (first, second):
        trainer.take_step()
    assert all(
        torch.equal(a, b) for a, b in zip(first.networks.parameters(), second.networks.parameters(), strict=True)
    )


@pytest.mark.parametrize(("logit", "expected"), [(1.0, 0.5), (-1.0, 0.0)])
def test_an_adaptive_probability_follows_the_critic_every_fourth_batch(logit, expected):
    module = DiffAugment(adaptive=True, rows_to_one=160).module(SPEC)
    reached = []
    for _ in range(8):
        module.observe(torch.full((10,), logit))
        reached.append(module.reached.item())
    assert reached == pytest.approx([0, 0, 0, expected / 2, expected / 2, expected / 2, expected / 2, expected])


def test_an_adaptive_probability_stays_between_0_and_its_limit():
    module = DiffAugment(adaptive=True, probability=0.3, rows_to_one=10).module(SPEC)
    for _ in range(4):
        module.observe(torch.ones(10))
    assert module.reached.item() == pytest.approx(0.3)


def test_an_adaptive_probability_is_kept_with_the_networks():
    trainer = trainer_of(
        WithEncoder(augment=DiffAugment(adaptive=True, target=-0.9, rows_to_one=1000), objective=Relativistic()),
        training=replace(TRAINING, steps=8),
        **IMAGES,
    )
    for _ in range(4):
        trainer.take_step()
    assert trainer.state()["networks"]["augmentation.batches"].item() == 0
    assert "augmentation.reached" in trainer.state()["networks"]


def test_looking_at_averaged_weights_moves_no_adaptive_probability():
    """Their batch statistics are taken from 20 batches that are no steps, and on several ranks by one rank alone."""
    trainer = trainer_of(
        WithEncoder(augment=DiffAugment(adaptive=True, target=-0.9, rows_to_one=1000)),
        training=replace(TRAINING, averaging=0.9),
        **IMAGES,
    )
    for _ in range(5):
        trainer.take_step()
    state = trainer.state()
    for name in ("reached", "signs", "batches"):
        assert torch.equal(state["averaged"][f"augmentation.{name}"], state["networks"][f"augmentation.{name}"])
    assert state["networks"]["augmentation.batches"] == 1
    assert state["networks"]["augmentation.reached"] > 0
    assert trainer.networks.augmentation.training


def test_data_other_than_images_in_0_to_1_are_refused():
    with pytest.raises(SettingsError, match="'diffaugment' augments images in"):
        trainer_of(WithEncoder(augment=DiffAugment()), dataset=ToyMixture())


@pytest.mark.parametrize(
    "fields",
    [
        {"probability": 1.5},
        {"target": 1.0},
        {"rows_to_one": 0},
        {"adaptive": True, "schedule": LinearSchedule()},
    ],
)
def test_values_out_of_range_are_refused(fields):
    with pytest.raises(ValueError, match=r"expected|set one of the two"):
        DiffAugment(**fields)
