"""Folders of images: small networks, and the paper's, on a user's own pictures."""

from genzoo.training import Recipe, Training
from genzoo_data.folder import Folder
from genzoo_recipes.imagenet64 import ImageNet64Networks
from genzoo_recipes.small32 import Small32Networks
from genzoo_recipes.svhn import SVHNNetworks

_TRAINING = Training(steps=50_000, batch_size=100, learning_rate=1e-4, beta1=0.5, beta2=0.999)

FOLDER32 = Recipe(
    name="folder32",
    summary="any folder of images at 32×32, small networks, some 15 minutes on two CPU cores",
    dataset=Folder(size=32),
    architecture=Small32Networks(),
    training=Training(
        steps=8000,
        batch_size=32,
        learning_rate=1e-3,
        beta1=0.0,
        beta2=0.99,
        averaging=0.999,
        log_every=200,
        picture_every=1000,
        checkpoint_every=1000,
    ),
    game={"objective": "relativistic", "penalty": "zero-centred", "augment": "diffaugment"},
    notes=(
        "networks, objective, penalty and augmentation are of the years after the paper, for a few hundred images and "
        "minutes on a CPU: folder32-paper has the paper's networks, objective and schedule",
    ),
)

FOLDER32_PAPER = Recipe(
    name="folder32-paper",
    summary="any folder of images at 32×32, with the networks of the paper's SVHN",
    dataset=Folder(size=32),
    architecture=SVHNNetworks(),
    training=_TRAINING,
)

FOLDER64 = Recipe(
    name="folder64",
    summary="any folder of images at 64×64, with the networks of the paper's ImageNet",
    dataset=Folder(size=64),
    architecture=ImageNet64Networks(),
    training=_TRAINING,
)
