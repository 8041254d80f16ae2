"""Handwritten digits that come with scikit-learn."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from genzoo.data import Dataset
from genzoo.types import DataSpec, Split, Splits


@dataclass(frozen=True, kw_only=True)
class Digits(Dataset):
    """The 1,797 digits of scikit-learn's test set of UCI's optical recognition data: 8 × 8, grey, ten classes.

    Stored values 0…16 become 0…255. Stratified by class with a fixed seed: 70 % train, 10 % validation, 20 % test.
    """

    name: ClassVar[str] = "digits"

    @property
    def spec(self) -> DataSpec:
        """One channel of 8 × 8 in [0, 1], of 17 grey levels; ten classes."""
        return DataSpec(shape=(1, 8, 8), support="unit", levels=17, class_names=tuple("0123456789"))

    def load(self, root: Path) -> Splits:
        """Return the three splits, from the file inside scikit-learn."""
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        pixels, labels = load_digits(return_X_y=True)
        rows = range(len(labels))
        train, held_out = train_test_split(rows, test_size=0.3, random_state=0, stratify=labels)
        validation, test = train_test_split(held_out, test_size=2 / 3, random_state=0, stratify=labels[held_out])
        images = torch.tensor(pixels).mul(255 / 16).round().to(torch.uint8).view(-1, 1, 8, 8)
        classes = torch.tensor(labels)
        return Splits(*(Split(images[part], classes[part]) for part in (train, validation, test)))
