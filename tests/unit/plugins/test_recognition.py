"""The metric recognition: whether samples of a class are recognised as that class, beside real rows."""

from dataclasses import dataclass, replace

import pytest
import torch
from models import HEADS, PETS, Doubled
from sklearn.neighbors import KNeighborsClassifier
from torch import nn
from toy_components import WithEncoder

from genzoo import Networks, SettingsError
from genzoo.data import as_input
from genzoo.data.labels import with_few_labels
from genzoo.evaluation import Model
from genzoo.evaluation.metrics import evaluate_model
from genzoo.games import StandardNormal
from genzoo.types import Split
from genzoo_data.cifar10 import CIFAR10
from genzoo_data.digits import Digits
from genzoo_data.mixture import Mixture25
from genzoo_metrics.recognition import Recognition

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Copyist(Model):
    """A model that shows stored rows: those of the class that is asked for, or any if it is `careless`."""

    stored: Split
    careless: bool = False

    def sample(self, count, *, seed=0, y=None):
        source = torch.Generator().manual_seed(seed)
        if self.careless:
            rows = torch.randint(len(self.stored.x), (count,), generator=source)
        else:
            of_class = [(self.stored.labels == number).nonzero().flatten() for number in range(y.shape[1])]
            rows = torch.stack([of_class[number][index % 7] for index, number in enumerate(y.argmax(1).tolist())])
        return as_input(self.stored.x[rows])


def copyist(dataset, stored, **settings):
    return Copyist(
        game=WithEncoder(),
        networks=Networks(decoder=Doubled(), embedder=nn.Identity()),
        data=dataset.spec,
        prior=StandardNormal(),
        latent=2,
        label_frequencies=None,
        device=CPU,
        stored=stored,
        **settings,
    )


def recognition(model, splits, *, split="test", seed=0, **settings):
    scores = Recognition(**settings).measure(model, getattr(splits, split), train=splits.train, seed=seed)
    return {score.metric: score.value for score in scores}


MIXTURE = Mixture25(rows=2500, held_out_rows=500)


@pytest.mark.parametrize("shown", ["train", "test"])
def test_real_rows_of_the_class_that_was_asked_for_are_all_recognised(shown):
    splits = MIXTURE.load(None)  # whose components are 40 standard deviations apart
    found = recognition(copyist(MIXTURE, getattr(splits, shown)), splits)
    assert found == {"recognition": 1.0, "recognition/real": 1.0}


def test_a_model_that_ignores_the_class_is_recognised_as_often_as_chance_has_it():
    splits = MIXTURE.load(None)
    error = (0.04 * 0.96 / 1000) ** 0.5
    assert recognition(copyist(MIXTURE, splits.test, careless=True), splits)["recognition"] == pytest.approx(
        1 / 25, abs=5 * error
    )
    # a point that is always the same is right for just its own class
    same = copyist(MIXTURE, Split(splits.test.x[:1]), careless=True)
    assert recognition(same, splits)["recognition"] == 1 / 25


def test_every_class_is_asked_for_equally_often():
    asked = []

    class Listener(Copyist):
        def sample(self, count, *, seed=0, y=None):
            asked.append((count, seed, y))
            return super().sample(count, seed=seed, y=y)

    splits = MIXTURE.load(None)
    listener = Listener(**vars(copyist(MIXTURE, splits.test)))
    recognition(listener, splits, samples=250, seed=9)
    ((count, seed, y),) = asked
    assert (count, seed) == (250, 9)
    assert set(y.unique().tolist()) == {0.0, 1.0}
    assert y.sum(0).tolist() == [10.0] * 25
    assert y.sum(1).tolist() == [1.0] * 250


@pytest.mark.parametrize("neighbours", [1, 5])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_score_of_real_digits_is_scikit_learns_own(split, neighbours):
    splits = Digits().load(None)
    fitted = KNeighborsClassifier(n_neighbors=neighbours)
    fitted.fit(splits.train.x.view(-1, 64).numpy() / 255, splits.train.labels.numpy())
    measured = getattr(splits, split)
    expected = fitted.score(measured.x.view(-1, 64).numpy() / 255, measured.labels.numpy())
    found = recognition(copyist(Digits(), splits.train), splits, split=split, neighbours=neighbours)
    assert found["recognition/real"] == pytest.approx(expected, abs=1e-12)
    assert 0.95 < expected < 1
    if neighbours == 1:  # a training row is its own nearest neighbour
        assert found["recognition"] == 1.0


def test_rows_whose_labels_are_hidden_neither_fit_nor_count():
    splits = Digits().load(None)
    few = splits._replace(train=with_few_labels(splits.train, Digits().spec, labels=200, seed=0))
    model = copyist(Digits(), splits.test)
    scores = Recognition().measure(model, few.test, train=few.train, seed=0)
    part = few.train.labels >= 0
    alone = Split(few.train.x[part], few.train.labels[part])
    assert scores == Recognition().measure(model, few.test, train=alone, seed=0)
    assert scores[0].protocol["fitted"] == "on 200 training rows"
    assert Recognition().measure(model, few.train, train=few.train, seed=0)[1].protocol["rows"] == 200


def test_recognition_carries_its_protocol():
    splits = MIXTURE.load(None)
    scores = evaluate_model(
        copyist(MIXTURE, splits.test), splits, [Recognition(samples=50)], split_name="validation", seed=3
    )
    common = {"split": "validation", "seed": 3, "weights": "raw", "batch_norm": "running"}
    common |= {"neighbours": 5, "fitted": "on 2500 training rows"}
    assert [(score.metric, score.protocol) for score in scores] == [
        ("recognition", common | {"samples": 50}),
        ("recognition/real", common | {"rows": 500}),
    ]


def test_what_cannot_be_recognised_is_said():
    model = copyist(Digits(), Digits().load(None).test)
    assert Recognition().obstacle(model) is None
    unconditional = replace(model, networks=Networks(decoder=Doubled()))
    assert Recognition().obstacle(unconditional) == "it is not conditional"
    assert Recognition().obstacle(replace(model, data=HEADS)) == "its data have no classes"
    assert Recognition().obstacle(replace(model, data=CIFAR10().spec)) == (
        "its x are too large to compare by their pixels"
    )
    assert Recognition().obstacle(replace(model, data=replace(PETS, shape=(1, 32, 32)))) is None
    assert Recognition().obstacle(replace(model, data=replace(PETS, shape=(1, 32, 33)))) is not None


def test_a_split_without_labels_is_refused():
    splits = MIXTURE.load(None)
    with pytest.raises(SettingsError, match="labels"):
        recognition(copyist(MIXTURE, splits.test), splits._replace(test=Split(splits.test.x)))
