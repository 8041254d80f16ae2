"""Data sets of the hub: the networks and settings for folders of images, at 32 × 32 and 64 × 64."""

from dataclasses import replace

from genzoo_hub.images import HubImages
from genzoo_recipes.folders import FOLDER32, FOLDER64

HF32 = replace(
    FOLDER32,
    name="hf32",
    summary="images of the Hugging Face hub, parquet files or folders at 32×32, as folder32",
    dataset=HubImages(size=32),
)

HF64 = replace(
    FOLDER64,
    name="hf64",
    summary="images of the Hugging Face hub, parquet files or folders at 64×64, as folder64",
    dataset=HubImages(size=64),
)
