"""Codes: grids of z in which one part of the prior's changes from column to column."""

import torch
from torch import Tensor

from genzoo.errors import SettingsError
from genzoo.evaluation.model import Model
from genzoo.text import in_words, nearest

_COLUMNS = 8
"""So many quantiles of a part that is not one-hot are shown."""


def sweep_of(model: Model, part: str, *, rows: int, seed: int) -> tuple[Tensor, tuple[str, ...]]:
    """Return z (rows, columns, latent) and the columns' headings: a row has one draw, but for a part of z.

    The columns are all categories of a part whose draws are one-hot, and else quantiles of each of its numbers.
    """
    model.require_samples()
    if model.networks.is_conditional:
        raise SettingsError("this model is given conditions", "its classes or attributes are shown by: --sweep all")
    parts = model.prior.parts(model.latent)
    if part not in parts:
        there = f"it names: {in_words([*parts])}" if parts else "choose a prior that names some when training"
        raise SettingsError(f"the prior {model.prior.name} names no part '{part}' of z{nearest(part, parts)}", there)
    values, headings = _values(model.draw_z(1000, seed=seed)[:, parts[part]])
    z = model.draw_z(rows, seed=seed)[:, None].repeat(1, len(headings), 1)
    z[:, :, parts[part]] = values
    return z, headings


def _values(draws: Tensor) -> tuple[Tensor, tuple[str, ...]]:
    """Return the values (columns, numbers of the part) to show, and their headings, for draws (N, numbers)."""
    one_hot = bool(((draws == 0) | (draws == 1)).all()) and bool((draws.sum(1) == 1).all())
    if one_hot:
        return torch.eye(draws.shape[1], device=draws.device), tuple(map(str, range(draws.shape[1])))
    shares = torch.linspace(0.05, 0.95, _COLUMNS, device=draws.device)
    return torch.quantile(draws, shares, dim=0), tuple(f"{share:.0%}" for share in shares.tolist())
