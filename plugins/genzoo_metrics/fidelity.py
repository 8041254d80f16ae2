"""Feature distances by torch-fidelity: FID, KID, inception score, precision and recall."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from genzoo import UnreadableError
from genzoo.data import as_input
from genzoo.evaluation import Metric, Model, Score
from genzoo.types import Split

INCEPTION = "inception-v3-compat"
_FILE = "weights-inception-2015-12-05-6726825d.pth"
_HASH = "6726825d"
"""The beginning of the file's SHA-256, which its publishers put into its name."""
_VARIABLE = "GENZOO_INCEPTION_WEIGHTS"
_REMEDY = f"get {_FILE} from the releases of torch-fidelity, and type: export {_VARIABLE}=…/{_FILE}"


@dataclass(frozen=True, kw_only=True)
class Fidelity(Metric):
    """FID, KID, inception score, precision and recall of samples and training rows, as torch-fidelity measures them.

    `extractor` is a feature extractor that is registered with torch-fidelity. For Inception-v3, the file of weights is
    `weights`, or else the one that the environment's GENZOO_INCEPTION_WEIGHTS names. Distances in the features of any
    other extractor are no FID and KID, and are called `fidelity/frechet-distance` and `fidelity/kernel-distance`.
    """

    name: ClassVar[str] = "fidelity"
    about: ClassVar[Mapping[str, str]] = {
        "fidelity/fid": "Fréchet distance (FID) of samples to training rows in the features of Inception-v3.",
        "fidelity/kid": "Kernel distance (KID), mean over subsets; it may be negative: read its deviation.",
        "fidelity/kid-deviation": "Standard deviation of the kernel distance over the subsets.",
        "fidelity/frechet-distance": "Fréchet distance of samples to training rows in the features of the extractor.",
        "fidelity/kernel-distance": "Kernel distance, mean over subsets; it may be negative: read its deviation.",
        "fidelity/kernel-distance-deviation": "Standard deviation of the kernel distance over the subsets.",
        "fidelity/precision": "Share of samples in the neighbourhood of a training row.",
        "fidelity/recall": "Share of training rows in the neighbourhood of a sample.",
        "fidelity/inception-score": "Whether Inception-v3 is sure of each sample and samples are of many classes.",
    }
    measures_held_out: ClassVar[bool] = True
    by_default: ClassVar[bool] = False
    extractor: str = INCEPTION
    weights: str | None = None
    samples: int = 10_000
    """Samples, and at most as many of the first training rows."""

    def __post_init__(self) -> None:
        if self.samples < 10:
            raise ValueError(f"samples is {self.samples}, expected at least 10")

    def obstacle(self, model: Model) -> str | None:
        """Return an obstacle for models of other than grey or colour images, and what is not installed or not here."""
        if lacking := model.sampling_obstacle:
            return lacking
        if not model.data.is_image or model.data.shape[0] not in (1, 3):
            return "its x are no images of one or three channels"
        if find_spec("torch_fidelity") is None:
            return "torch-fidelity is not installed; type: pip install 'genzoo[fidelity]'"
        if self.extractor == INCEPTION:
            path = self._weights_path()
            return None if path and path.is_file() else f"the weights of Inception-v3 are not here: {_REMEDY}"
        return _obstacle_of(self.extractor)

    def measure(self, model: Model, split: Split, *, train: Split, seed: int) -> list[Score]:
        """Compare samples with the first training rows, both as bytes; grey images are repeated in three channels."""
        from torch_fidelity import calculate_metrics

        samples, real = Images(model.sample(self.samples, seed=seed)), Images(as_input(train.x[: self.samples]))
        fewer = min(len(samples), len(real))
        protocol = {"samples": len(samples), "training rows": len(real), "extractor": self.extractor}
        with self._verified_weights() as (path, sha256):
            values = calculate_metrics(
                input1=samples,
                input2=real,
                feature_extractor=self.extractor,
                feature_extractor_weights_path=path,
                fid=True,
                kid=True,
                prc=True,
                isc=self.extractor == INCEPTION,
                kid_subset_size=min(1000, fewer),
                cuda=model.device.type == "cuda",
                cache=False,
                verbose=False,
                save_cpu_ram=True,  # which reads images in this process
            )
        subsets = {"subsets": f"100 of {min(1000, fewer)}"}
        return _scores(values, protocol | ({} if sha256 is None else {"weights sha256": sha256}), subsets)

    def _weights_path(self) -> Path | None:
        named = self.weights or os.environ.get(_VARIABLE)
        return None if not named else Path(named)

    @contextmanager
    def _verified_weights(self) -> Iterator[tuple[str | None, str | None]]:
        """Yield a file of tensors for torch-fidelity, which unpickles what it is given, and the original's SHA-256."""
        if self.extractor != INCEPTION:
            yield None, None
            return
        path = self._weights_path()
        if path is None or not path.is_file():  # torch-fidelity would download it
            raise UnreadableError("the weights of Inception-v3 are not here", _REMEDY)
        state, sha256 = read_weights(path)
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "weights.pth"
            torch.save(state, written)
            yield str(written), sha256


class Images(Dataset[Tensor]):
    """Images x (N, C, H, W) in [0, 1] as torch-fidelity reads them: uint8, with three channels."""

    def __init__(self, x: Tensor) -> None:
        levels = (x.cpu() * 255).round().clamp(0, 255).to(torch.uint8)
        self._levels = levels.expand(-1, 3, -1, -1)

    def __len__(self) -> int:
        return len(self._levels)

    def __getitem__(self, row: int) -> Tensor:
        return self._levels[row]


def read_weights(path: Path) -> tuple[dict[str, Tensor], str]:
    """Return the tensors in the file of Inception's weights and its SHA-256; no code in it is run.

    Raises `UnreadableError` for a file with another hash, and for one that holds anything but tensors.
    """
    with path.open("rb") as file:
        sha256 = file_digest(file, "sha256").hexdigest()
    if not sha256.startswith(_HASH):
        raise UnreadableError(f"{path} is not {_FILE}: its SHA-256 begins with {sha256[:8]}, not {_HASH}", _REMEDY)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds; their messages explain how to run the code in the file
        raise UnreadableError(f"{path} cannot be read as tensors alone: {type(error).__name__}", _REMEDY) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UnreadableError(f"{path} holds other things than tensors", _REMEDY)
    return state, sha256


def _obstacle_of(extractor: str) -> str | None:
    """Return why an extractor other than Inception-v3 cannot be used, or None."""
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    if extractor not in FEATURE_EXTRACTORS_REGISTRY:
        return f"no extractor is registered as '{extractor}': torch_fidelity.register_feature_extractor does it"
    if FEATURE_EXTRACTORS_REGISTRY[extractor].__module__.startswith("torch_fidelity."):
        return f"'{extractor}' downloads its weights and unpickles them, which would run code in them"
    return None


def _scores(values: dict[str, float], protocol: dict[str, Any], subsets: dict[str, Any]) -> list[Score]:
    """Return the scores; those by an extractor other than Inception-v3 have names of their own."""
    is_inception = protocol["extractor"] == INCEPTION
    distance, kernel = ("fid", "kid") if is_inception else ("frechet-distance", "kernel-distance")
    scores = [
        Score(
            metric=f"fidelity/{distance}",
            value=values["frechet_inception_distance"],
            protocol=protocol,
            better="lower",
            headline=True,
        ),
        Score(
            metric=f"fidelity/{kernel}",
            value=values["kernel_inception_distance_mean"],
            protocol=protocol | subsets,
            better="lower",
        ),
        Score(
            metric=f"fidelity/{kernel}-deviation",
            value=values["kernel_inception_distance_std"],
            protocol=protocol | subsets,
        ),
    ]
    scores += [
        Score(metric=f"fidelity/{name}", value=values[name], protocol=protocol | {"neighbours": 3}, better="higher")
        for name in ("precision", "recall")
    ]
    if is_inception:
        mean = values["inception_score_mean"]
        name = "fidelity/inception-score"
        scores.append(Score(metric=name, value=mean, protocol=protocol | {"splits": 10}, better="higher"))
    return scores
