"""One third-party plugin alone (`GENZOO_PLUGINS=mine`): its zoo works, and no message names what is not installed."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from sites import Site
from test_names import first_party_names

MODULE = '''
"""My zoo."""
from dataclasses import dataclass
from typing import ClassVar

from genzoo import hookimpl, lazy

@hookimpl
def genzoo_models():
    return [lazy("my-model", "{module}_parts:Mine", "plays with a decoder and a critic")]

@hookimpl
def genzoo_datasets():
    return [
        lazy("my-points", "{module}_parts:Points", "points on a line"),
        lazy("my-pictures", "{module}_parts:Pictures", "pictures from elsewhere"),
    ]

@hookimpl
def genzoo_architectures():
    return [lazy("my-layers", "{module}_parts:Layers", "two small tables")]

@hookimpl
def genzoo_recipes():
    return [
        lazy("my-recipe", "{module}_parts:RECIPE", "points, for a moment"),
        lazy("my-pictures", "{module}_parts:PICTURES", "pictures, for a moment"),
    ]

@hookimpl
def genzoo_metrics():
    return [lazy("my-metric", "{module}_parts:Spread", "standard deviation of samples")]
'''
DEFAULT = """
@hookimpl
def genzoo_default_recipe():
    return "my-recipe"
"""
PARTS = '''
from dataclasses import dataclass
from typing import ClassVar

import torch
from genzoo import AdversarialGame, Joint, Networks
from genzoo.data import Contents, Dataset, ImageTransform, PreparedDataset
from genzoo.evaluation import Metric, Score
from genzoo.nn import Architecture, Linear, ReLU, TableCritic, TableDecoder, TableEncoder
from genzoo.training import Recipe, Training
from genzoo.types import DataSpec, Split, Splits

@dataclass(frozen=True, kw_only=True)
class Mine(AdversarialGame):
    """A decoder against a critic of x."""

    name: ClassVar[str] = "my-model"

    def build(self, architecture, data):
        return Networks(decoder=architecture.decoder(data), critic=architecture.critic(data, sees="x"))

    def q(self, networks, batch):
        return Joint(x=batch.x)

    def p(self, networks, batch):
        return Joint(x=networks.decode(batch.z))

@dataclass(frozen=True, kw_only=True)
class Points(Dataset):
    """Points on a line."""

    name: ClassVar[str] = "my-points"

    @property
    def spec(self):
        return DataSpec(shape=(2,), support="real")

    def load(self, root):
        line = torch.linspace(-1, 1, 32)
        return Splits(*(Split(torch.stack([line, shift + line], dim=1)) for shift in (0.0, 0.1, 0.2)))

@dataclass(frozen=True, kw_only=True)
class Pictures(PreparedDataset):
    """Pictures that somebody has to prepare."""

    name: ClassVar[str] = "my-pictures"
    origin: ClassVar[str] = "elsewhere"

    @property
    def spec(self):
        return DataSpec(shape=(1, 4, 4), support="unit")

    @property
    def transform(self):
        return ImageTransform(size=4, channels=1)

    def contents(self, source):
        raise NotImplementedError

@dataclass(frozen=True, kw_only=True)
class Layers(Architecture):
    """Two small tables."""

    name: ClassVar[str] = "my-layers"
    posteriors: ClassVar[tuple] = ("point",)
    latent: int = 2

    def encoder(self, data, *, posterior=None, condition=0):
        head = (Linear(width=self.latent),)
        return TableEncoder(data, latent=self.latent, posterior="point", body=(), head=head, condition=condition)

    def decoder(self, data, *, condition=0):
        table = (Linear(width=8, nonlinearity=ReLU()), Linear(width=data.shape[0]))
        return TableDecoder(data, latent=self.latent, table=table, condition=condition)

    def critic(self, data, *, sees="xz", condition=0, outputs=1):
        table = (Linear(width=8, nonlinearity=ReLU()), Linear(width=outputs))
        return TableCritic(data, latent=self.latent, x_table=(), z_table=(), joint_table=table, sees=sees)

@dataclass(frozen=True, kw_only=True)
class Spread(Metric):
    """Standard deviation of samples."""

    name: ClassVar[str] = "my-metric"
    measures_held_out: ClassVar[bool] = True

    def obstacle(self, model):
        return None

    def measure(self, model, split, *, train, seed):
        spread = model.sample(64, seed=seed).std().item()
        values = {"a-lesser-number": spread / 2, "my-metric": spread}
        return [Score(metric=name, value=value, headline=name == "my-metric") for name, value in values.items()]

TRAINING = Training(steps=4, batch_size=8, log_every=2, checkpoint_every=2)
RECIPE = Recipe(
    name="my-recipe", summary="points, for a moment", dataset=Points(), architecture=Layers(), training=TRAINING
)
PICTURES = Recipe(
    name="my-pictures", summary="pictures, for a moment", dataset=Pictures(), architecture=Layers(), training=TRAINING
)
'''


class Zoo:
    """A folder in which commands see the core and one plugin, and may name what these offer alone."""

    def __init__(self, folder, source):
        self.folder = folder
        site = Site(folder / "site")
        site.folder.mkdir(parents=True)
        site.install("my-zoo", source, points={"mine": "my_zoo"})
        (site.folder / "my_zoo_parts.py").write_text(PARTS)
        path = os.pathsep.join([str(site.folder), os.environ.get("PYTHONPATH", "")])
        self._environment = os.environ | {"PYTHONPATH": path, "GENZOO_PLUGINS": "mine"}

    def __call__(self, *arguments, code=0):
        """Run a command, see that no line names a first-party offer, and return stdout and stderr together."""
        command = [sys.executable, "-m", "genzoo", *arguments]
        ended = subprocess.run(
            command, capture_output=True, text=True, cwd=self.folder, env=self._environment, check=False
        )
        assert ended.returncode == code, ended.stderr
        said = ended.stdout + ended.stderr
        assert [line for line in said.splitlines() if first_party_names(line)] == []
        return said

    def typed(self, text, beginning):
        """Run the command that a message tells a person to type."""
        (line,) = (line for line in text.splitlines() if beginning in line)
        words = shlex.split(re.split(r"  ·|, then: ", line[line.index(beginning) :])[0])[1:]
        return self(*words)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Return a zoo whose plugin offers a default recipe."""
    return Zoo(tmp_path_factory.mktemp("mine"), MODULE + DEFAULT)


@pytest.fixture(scope="module")
def trained(zoo):
    """Train what the help says, and return what the training said."""
    return zoo.typed(zoo("--help"), "genzoo train")


def test_training_without_a_recipe_takes_the_plugins_default(zoo, trained):
    assert "0001-my-model-my-recipe-s0: 4 steps" in trained
    assert "my-recipe if left out" in zoo("train", "--help")
    zoo("train", "my-model", "--recipe", "my-recipe", "--seed", "1", "--quiet")
    assert (zoo.folder / "runs" / "0002-my-model-my-recipe-s1").is_dir()


@pytest.mark.usefixtures("trained")
def test_every_command_works_with_what_the_plugin_offers(zoo):
    for kind in ("models", "datasets", "architectures", "recipes", "metrics", "plugins"):
        assert "my-" in zoo("list", kind)
    for name in ("my-model", "my-recipe", "my-points"):
        assert name in zoo("show", name)
    assert "my-metric" in zoo("evaluate", "1", "--metric", "my-metric", "--seed", "5")
    assert zoo("sample", "1", "--out", "samples.npy") == "samples.npy\n"
    assert "my-points" in zoo("data", "status")
    assert re.search(r"4/4 +done +my-metric ", zoo("runs"))


@pytest.mark.usefixtures("trained")
def test_every_remedy_names_what_is_there_and_can_be_typed(zoo):
    assert "did you mean 'my-model'?" in zoo("train", "my-modell", code=2)
    assert "there are: my-pictures, my-recipe" in zoo("train", "my-model", "--recipe", "toy", code=2)
    assert "models" in zoo.typed(zoo("sample", "1", "--condition", "class=3", code=2), "genzoo list")
    assert "needs none" in zoo.typed(zoo("train", "my-model", "--recipe", "my-pictures", code=3), "genzoo data status")
    zoo("data", "prepare", "my-points", code=2)
    assert "type: genzoo train my-model --recipe my-recipe\n" in zoo("data", "prepare", "my-recipe", code=2)
    assert "begin one with: genzoo train my-model\n" in zoo("runs", "--root", "elsewhere")


@pytest.mark.usefixtures("trained")
def test_no_help_of_a_command_names_what_is_not_installed(zoo):
    assert json.loads(zoo("list", "commands", "--json"))["commands"] == []
    for command in ("train", "resume", "sample", "reconstruct", "interpolate", "evaluate", "list", "show", "runs"):
        zoo(command, "--help")
    for command in (["data"], ["data", "fetch"], ["data", "prepare"], ["data", "status"], ["reproduce"]):
        zoo(*command, "--help")


def test_without_a_default_recipe_training_says_how_to_name_one(tmp_path):
    zoo = Zoo(tmp_path, MODULE)
    assert "Recipe, or its file." in zoo("train", "--help")
    said = zoo("train", "my-model", code=2)
    assert said.startswith("error: no recipe was named, and no installed plugin offers a default one\n")
    assert "my-recipe" in zoo.typed(said, "genzoo list recipes")
    assert "genzoo train my-model --recipe my-pictures" in zoo("--help")
