"""Scores of two sets of feature vectors, real and generated, and of class probabilities."""

from math import log, nan
from typing import NamedTuple

import torch
from torch import Tensor


class Neighbourhoods(NamedTuple):
    """How the neighbourhoods of real and generated rows overlap; all but the density lie in [0, 1]."""

    precision: float
    recall: float
    density: float
    coverage: float


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Return the Fréchet distance of Gaussians fitted to rows a (N, D) and b (M, D), squared, as is the custom.

    ‖μ_a − μ_b‖² + tr(A) + tr(B) − 2·tr((AB)^½) for the covariances A and B (Dowson and Landau, 1982); not a number for
    rows that are not finite.
    """
    a, b = a.double(), b.double()
    if not (a.isfinite().all() and b.isfinite().all()):
        return nan
    covariances = [torch.cov(rows.T).reshape(rows.shape[1], rows.shape[1]) for rows in (a, b)]
    roots = [_square_root(covariance) for covariance in covariances]
    # tr((AB)^½) is the sum of the singular values of A^½·B^½, which loses fewer digits than eigenvalues of AB.
    shared = torch.linalg.svdvals(roots[0] @ roots[1]).sum()
    traces = covariances[0].trace() + covariances[1].trace()
    return float((a.mean(0) - b.mean(0)).square().sum() + traces - 2 * shared)


def neighbourhoods(real: Tensor, generated: Tensor, *, neighbours: int) -> Neighbourhoods:
    """Return precision and recall (Kynkäänniemi et al., 2019), density and coverage (Naeem et al., 2020).

    A row's neighbourhood is the open ball up to its `neighbours`-th neighbour among its like, itself left out.
    `real` and `generated` are (N, D); distances are Euclidean.
    """
    in_real = _distances(generated, real) < _radii(real, neighbours)
    in_generated = _distances(real, generated) < _radii(generated, neighbours)
    return Neighbourhoods(
        precision=_share(in_real.any(1)),
        recall=_share(in_generated.any(1)),
        density=float(in_real.double().sum(1).mean()) / neighbours,
        coverage=_share(in_real.any(0)),
    )


def class_score(logits: Tensor) -> float:
    """Return exp E KL(p(y | x) ‖ E p(y | x)) for class logits (N, K): the inception score's formula, from 1 to K."""
    log_share = logits.double().log_softmax(1)
    log_mean = log_share.logsumexp(0) - log(len(logits))
    return float((log_share.exp() * (log_share - log_mean)).sum(1).mean().exp())


def _square_root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = vectors * values.clamp(min=0).sqrt() @ vectors.T
    return root


def _radii(rows: Tensor, neighbours: int) -> Tensor:
    """Return the distance (N,) of every row to its neighbour of that rank; rank 0 is the row itself."""
    return _distances(rows, rows).kthvalue(neighbours + 1, dim=1).values


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Return the distances (N, M) of rows, exactly 0 for equal ones."""
    return torch.cdist(a.double(), b.double(), compute_mode="donot_use_mm_for_euclid_dist")


def _share(flags: Tensor) -> float:
    return float(flags.double().mean())
