"""Folders of images: the paper's networks on a user's own pictures."""

from genzoo.training import Recipe, Training
from genzoo_data.folder import Folder
from genzoo_recipes.imagenet64 import ImageNet64Networks
from genzoo_recipes.svhn import SVHNNetworks

_TRAINING = Training(steps=50_000, batch_size=100, learning_rate=1e-4, beta1=0.5, beta2=0.999, picture_every=1000)

FOLDER32 = Recipe(
    name="folder32",
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
