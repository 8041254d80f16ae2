"""Components: their JSON, what it refuses, and the dotted paths that reach every field."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from toy_components import toy_registry

from genzoo.components import Component, from_json, override, paths, to_json, to_text
from genzoo.errors import SettingsError
from genzoo.games.objectives import Hinge, NonSaturating
from genzoo.games.schedules import Alternating, Simultaneous
from genzoo.host.discovery import registry
from genzoo.runs.job import find_game, find_recipe
from genzoo.text import nearest
from genzoo.training.settings import PlayerTraining, Settings, Training, resolve_settings


@dataclass(frozen=True, kw_only=True)
class Colour(Component):
    pass


@dataclass(frozen=True, kw_only=True)
class Red(Colour):
    name: ClassVar[str] = "red"
    depth: int = 1


@dataclass(frozen=True, kw_only=True)
class Green(Colour):
    name: ClassVar[str] = "green"
    under: Colour = Red()


@dataclass(frozen=True, kw_only=True)
class Inner:
    size: int = 3


@dataclass(frozen=True, kw_only=True)
class Everything(Component):
    name: ClassVar[str] = "everything"
    flag: bool = False
    count: int = 1
    rate: float = 0.5
    label: str = "plain"
    side: Literal["left", "right"] = "left"
    rank: Literal[1, 2] = 1
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[float, float] = (0.0, 1.0)
    limit: float | None = None
    colour: Colour = Red()
    backup: Colour | None = None
    inner: Inner = Inner()
    players: Mapping[str, PlayerTraining] = field(default_factory=dict)

    def __post_init__(self):
        if self.count < 0:
            raise ValueError(f"count is {self.count}, expected at least 0")


COLOURS = {"red": Red, "green": Green}


def resolve(base, name):
    if name not in COLOURS:
        raise SettingsError(f"no colour named '{name}'{nearest(name, COLOURS)}")
    return COLOURS[name]


def read(data, kind=Everything):
    return from_json(kind, data if kind is not Everything else {**data, "name": "everything"}, resolve=any_of)


def any_of(base, name):
    if issubclass(base, Colour | Everything):
        return Everything if name == "everything" else resolve(base, name)
    return TOYS.resolve(base, name)


def put(path, text, value=None):
    return override(value or Everything(), path, text, resolve=any_of)


def refused_or(make):
    """Return what `make` makes, or None where it is refused as settings; let any other error through."""
    try:
        return make()
    except SettingsError:
        return None


TOYS = toy_registry()
TOY = resolve_settings(
    find_game(TOYS, "toy-with-encoder"),
    find_recipe(TOYS, "toy"),
    [("game.posterior", "gaussian")],
    resolve=TOYS.resolve,
)


def put_toy(path, text, value=TOY):
    return override(value, path, text, resolve=TOYS.resolve)


# JSON there and back


def test_a_value_of_every_kind_of_field_returns_from_its_json():
    value = Everything(
        flag=True,
        count=7,
        rate=0.25,
        label="§ none",
        side="right",
        rank=2,
        sizes=(),
        pair=(-1.5, 2.0),
        limit=1e-300,
        colour=Green(under=Green(under=Red(depth=4))),
        backup=Red(),
        inner=Inner(size=9),
        players={"critic": PlayerTraining(beta1=0.0), "": PlayerTraining()},
    )
    text = json.dumps(to_json(value), allow_nan=False)
    assert read(json.loads(text)) == value


def test_json_names_components_and_their_fields_and_nothing_else():
    assert to_json(Green(under=Red(depth=4))) == {"name": "green", "under": {"name": "red", "depth": 4}}


def test_a_component_without_other_settings_may_be_written_as_its_name_alone():
    assert read({"colour": "green"}).colour == Green()


def test_what_is_left_out_keeps_its_default():
    assert read({}) == Everything()


def test_a_whole_number_is_a_float_where_a_float_is_meant():
    found = read({"rate": 2}).rate
    assert found == 2.0
    assert type(found) is float


def test_the_settings_of_a_run_return_from_their_json():
    again = from_json(Settings, json.loads(json.dumps(to_json(TOY))), resolve=TOYS.resolve)
    assert again == TOY
    assert again.game.posterior == "gaussian"


def test_equal_values_are_equal_objects_and_frozen():
    assert Everything(sizes=(3,)) == Everything(sizes=(3,))
    with pytest.raises(AttributeError):
        Everything().count = 3


# What JSON is refused


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"cuont": 3}, "did you mean 'count'?"),
        ({"inner": {"sise": 3}}, "did you mean 'size'?"),
        ({"colour": {"name": "red", "dept": 2}}, "did you mean 'depth'?"),
        ({"colour": "gren"}, "did you mean 'green'?"),
        ({"side": "rigth"}, "did you mean 'right'?"),
        ({"players": {"critic": {"beta_1": 0.5}}}, "did you mean 'beta1'?"),
    ],
)
def test_a_wrong_name_gets_the_nearest_right_one(data, said):
    with pytest.raises(SettingsError) as caught:
        read(data)
    assert said in caught.value.found


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"flag": 1}, "flag"),
        ({"flag": "true"}, "flag"),
        ({"count": True}, "count"),
        ({"count": 1.0}, "count"),
        ({"count": "1"}, "count"),
        ({"count": None}, "count"),
        ({"rate": True}, "rate"),
        ({"rate": "0.5"}, "rate"),
        ({"rate": math.nan}, "rate"),
        ({"rate": math.inf}, "rate"),
        ({"limit": -math.inf}, "limit"),
        ({"limit": False}, "limit"),
        ({"label": 5}, "label"),
        ({"label": None}, "label"),
        ({"side": "up"}, "side"),
        ({"side": None}, "side"),
        ({"side": ["left"]}, "side"),
        ({"rank": True}, "rank"),
        ({"rank": 1.0}, "rank"),
        ({"sizes": 3}, "sizes"),
        ({"sizes": "12"}, "sizes"),
        ({"sizes": [1, "2"]}, "sizes[1]"),
        ({"pair": [1.0]}, "pair"),
        ({"pair": [1.0, 2.0, 3.0]}, "pair"),
        ({"colour": None}, "colour"),
        ({"colour": 5}, "colour"),
        ({"colour": {"depth": 5}}, "colour"),
        ({"colour": {"name": ["red"]}}, "colour"),
        ({"colour": {"name": "green", "under": {"name": "red", "depth": "deep"}}}, "colour.under.depth"),
        ({"inner": 5}, "inner"),
        ({"inner": None}, "inner"),
        ({"players": []}, "players"),
        ({"players": {"critic": 5}}, "players.critic"),
        ({"players": {"critic": {"beta1": "0.5"}}}, "players.critic.beta1"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_under_its_path(data, path):
    with pytest.raises(SettingsError) as caught:
        read(data)
    assert caught.value.found.startswith(f"{path} is ")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        (Everything, {"name": "everything", "count": -1}, "count is -1, expected at least 0"),
        (Training, {"steps": 0}, "steps is 0, expected at least 1"),
        (Training, {"steps": 1, "beta1": 1}, "beta1 is 1, expected 0 ≤ beta1 < 1"),
        (Training, {"steps": 1, "averaging": -0.1}, "averaging is -0.1, expected 0 ≤ averaging < 1"),
        (Training, {"steps": 1, "keep_checkpoints": 1}, "keep_checkpoints is 1, expected at least 2"),
        (Training, {"steps": 1, "players": {"critic": {"beta2": 2.0}}}, "beta2 is 2, expected 0 ≤ beta2 < 1"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_limits(kind, data, said):
    with pytest.raises(SettingsError) as caught:
        from_json(kind, data, resolve=any_of)
    assert said in caught.value.found


def test_a_required_setting_that_is_missing_is_named():
    with pytest.raises(SettingsError, match="lacks the setting 'steps'"):
        from_json(Training, {"batch_size": 5}, resolve=resolve)


def test_a_refused_value_is_shown_at_no_great_length():
    with pytest.raises(SettingsError) as caught:
        read({"count": "9" * 10_000})
    assert len(caught.value.found) < 120


@pytest.mark.parametrize("huge", [10**400, -(10**400)], ids=["above", "below"])
@pytest.mark.parametrize("data", ["rate", "limit", "count"])
def test_a_number_beyond_every_float_is_refused_or_kept_exactly(data, huge):
    found = refused_or(lambda: read({data: huge}))
    assert found is None or getattr(found, data) == huge


@pytest.mark.parametrize("name", ["steps", "batch_size", "log_every", "keep_checkpoints"])
def test_a_number_far_below_its_range_is_refused_like_any_other(name):
    with pytest.raises(SettingsError, match=name):
        from_json(Training, {"steps": 5, name: -(10**400)}, resolve=resolve)


# Paths


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("flag", "true", {"flag": True}),
        ("flag", "False", {"flag": False}),
        ("count", "12", {"count": 12}),
        ("rate", "1e-3", {"rate": 0.001}),
        ("rate", "2", {"rate": 2.0}),
        ("label", "any text", {"label": "any text"}),
        ("label", "none", {"label": "none"}),
        ("side", "right", {"side": "right"}),
        ("rank", "2", {"rank": 2}),
        ("sizes", "4,5, 6", {"sizes": (4, 5, 6)}),
        ("sizes", "4", {"sizes": (4,)}),
        ("sizes", "", {"sizes": ()}),
        ("pair", "1,2.5", {"pair": (1.0, 2.5)}),
        ("limit", "3", {"limit": 3.0}),
        ("limit", "none", {"limit": None}),
        ("limit", "None", {"limit": None}),
        ("colour", "green", {"colour": Green()}),
        ("colour.depth", "8", {"colour": Red(depth=8)}),
        ("backup", "red", {"backup": Red()}),
        ("inner.size", "5", {"inner": Inner(size=5)}),
        ("players.critic.beta1", "0.1", {"players": {"critic": PlayerTraining(beta1=0.1)}}),
    ],
)
def test_an_override_reaches_every_kind_of_field_and_leaves_the_others(path, text, expected):
    assert put(path, text) == replace(Everything(), **expected)


def test_overrides_follow_one_another_into_what_the_first_put_there():
    value = put("colour.under.depth", "6", put("colour", "green"))
    assert value.colour == Green(under=Red(depth=6))
    assert put("backup.depth", "2", put("backup", "red")).backup == Red(depth=2)
    assert put("limit", "none", put("limit", "5")).limit is None


def test_an_override_leaves_the_value_it_started_from():
    before = Everything(players={"critic": PlayerTraining(beta1=0.5)})
    after = put("players.critic.beta1", "0.25", before)
    assert before.players["critic"].beta1 == 0.5
    assert after.players["critic"].beta1 == 0.25


def test_one_players_learning_rate_is_an_exception_to_the_common_one():
    training = put_toy("training.players.critic.learning_rate", "0.25").training
    assert training.of("critic").learning_rate == 0.25
    assert training.of("generator").learning_rate == TOY.training.learning_rate == 1e-3
    assert training.of("critic").beta1 == TOY.training.beta1


def test_two_exceptions_for_one_player_add_up():
    first = put_toy("training.players.critic.learning_rate", "0.25")
    both = put_toy("training.players.critic.beta1", "0.75", first).training.players["critic"]
    assert asdict(both) == {
        "learning_rate": 0.25,
        "learning_rate_schedule": None,
        "beta1": 0.75,
        "beta2": None,
    }


def test_the_objective_is_chosen_by_name():
    assert TOY.game.objective == NonSaturating()
    assert put_toy("game.objective", "hinge").game == replace(TOY.game, objective=Hinge())


def test_a_schedule_is_chosen_by_name_and_then_set():
    alternating = put_toy("game.schedule", "alternating")
    assert TOY.game.schedule == Simultaneous()
    assert alternating.game.schedule == Alternating(critic_steps=1)
    assert put_toy("game.schedule.critic_steps", "5", alternating).game.schedule == Alternating(critic_steps=5)


def test_a_setting_of_another_schedule_is_not_known_before_that_is_chosen():
    with pytest.raises(SettingsError, match=r"no setting 'game.schedule.critic_steps'"):
        put_toy("game.schedule.critic_steps", "5")


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("training.batchsize", "training.batch_size"),
        ("traning.steps", "training.steps"),
        ("game.objectve", "game.objective"),
        ("architecture.latents", "architecture.latent"),
        ("dataset.row", "dataset.rows"),
        ("batch_size", "training.batch_size"),
    ],
)
def test_a_wrong_path_gets_the_nearest_right_one(path, near):
    with pytest.raises(SettingsError) as caught:
        put_toy(path, "5")
    assert caught.value.found == f"no setting '{path}'; did you mean '{near}'?"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("training.steps", "many"),
        ("training.steps", "1.5"),
        ("training.steps", ""),
        ("training.steps", "0"),
        ("training.steps", "-" + "9" * 400),
        ("training.batch_size", "true"),
        ("training.learning_rate", "nan"),
        ("training.learning_rate", "inf"),
        ("training.learning_rate", "1e999"),
        ("training.learning_rate", "-1"),
        ("training.learning_rate", "none"),
        ("training.averaging", "1"),
        ("training.players", "critic"),
        ("training.players.critic", "fast"),
        ("training.players.critic.learning_rate", "fast"),
        ("training.players.critic.learning_rate.more", "1"),
        ("training.steps.more", "1"),
        ("training", "5"),
        ("game.posterior", "gausian"),
        ("game.objective", "simultaneous"),
        ("game.objective", "toy-with-encoder"),
        ("game.schedule", "none"),
        ("dataset.rows", "0"),
        ("architecture.latent", "0"),
        ("architecture.init_std", "0"),
        ("", "5"),
        (".", "5"),
        ("game..objective", "hinge"),
    ],
)
def test_an_override_that_cannot_be_meant_is_refused(path, text):
    with pytest.raises(SettingsError) as caught:
        put_toy(path, text)
    assert "\n" not in caught.value.found
    assert caught.value.exit_code == 2


def test_every_path_that_is_listed_can_be_reached_and_put_back_as_it_is():
    plain = [path for path in paths(TOY) if "mixture" not in path]
    assert {"game", "game.objective", "training.batch_size", "training.players", "dataset.rows"} <= set(plain)
    for path in plain:
        value = TOY
        for part in path.split("."):
            value = getattr(value, part)
        if isinstance(value, Component):
            assert put_toy(path, value.name) is not None
        elif not isinstance(value, Mapping | Training):
            assert put_toy(path, to_text(value)) == TOY


# Properties


@dataclass(frozen=True, kw_only=True)
class Painted:
    names: tuple[str, ...] = ()


@given(st.lists(st.text(min_size=1).filter(lambda name: name == name.strip())))
def test_names_of_any_characters_are_the_same_after_they_were_typed(names):
    text = to_text(names)
    assert override(Painted(), "names", text, resolve=resolve).names == tuple(names)


def test_a_name_that_holds_a_comma_is_quoted_where_it_is_typed():
    assert to_text(("a, b", 'c "d"', "e")) == '"a, b","c ""d""",e'
    typed = override(Painted(), "names", ' "a, b" ,c,, d', resolve=resolve)
    assert typed.names == ("a, b", "c", "d")
    with pytest.raises(SettingsError, match="is no list: field larger than"):
        override(Painted(), "names", "a" * 200_000, resolve=resolve)


def numbers(least, below=math.inf):
    return st.floats(least, below, allow_nan=False, allow_infinity=False, exclude_max=below != math.inf)


player_trainings = st.builds(
    PlayerTraining,
    learning_rate=st.none() | numbers(0),
    beta1=st.none() | numbers(0, 1),
    beta2=st.none() | numbers(0, 1),
)
trainings = st.builds(
    Training,
    steps=st.integers(1),
    batch_size=st.integers(1),
    learning_rate=numbers(0),
    beta1=numbers(0, 1),
    beta2=numbers(0, 1),
    epsilon=numbers(0),
    players=st.dictionaries(st.text(), player_trainings, max_size=3),
    averaging=st.none() | numbers(0, 1),
    log_every=st.integers(1),
    picture_every=st.integers(1),
    checkpoint_every=st.integers(1),
    keep_checkpoints=st.integers(2),
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


def likely(kind, *names):
    """Return documents that have the right keys, some of them right values."""
    keys = st.sampled_from([*kind.__dataclass_fields__, *names])
    return st.dictionaries(keys, documents | numbers(0) | st.integers(1), max_size=6)


@st.composite
def nearly(draw, document):
    """Return `document` with some of its entries, at any depth, replaced, removed or added to."""
    changed = dict(document)
    for key in draw(st.lists(st.sampled_from([*document, "name", "else"]), max_size=2)):
        inner = changed.get(key)
        if isinstance(inner, dict):
            changed[key] = draw(nearly(inner) | documents)
        elif draw(st.booleans()):
            changed[key] = draw(
                documents | st.sampled_from(["hinge", "alternating", "toy-with-encoder", "toy-images", "point"])
            )
        else:
            changed.pop(key, None)
    return changed


@given(player_trainings)
def test_the_settings_of_a_player_return_from_their_json(value):
    assert from_json(PlayerTraining, json.loads(json.dumps(to_json(value))), resolve=resolve) == value


@given(trainings)
def test_the_settings_of_training_return_from_their_json(value):
    assert (
        from_json(Training, json.loads(json.dumps(to_json(value), allow_nan=False)), resolve=registry().resolve)
        == value
    )


@given(numbers(0))
def test_a_float_returns_exactly_from_the_text_of_an_override(value):
    assert put_toy("training.learning_rate", repr(value)).training.learning_rate == value


@pytest.mark.parametrize("kind", [Training, PlayerTraining, Settings, Everything, Colour])
@settings(max_examples=100)
@given(data=st.data())
def test_json_data_either_describe_a_value_or_are_refused_as_settings(kind, data):
    document = data.draw(documents | likely(Training) | likely(Everything, "name") | nearly(to_json(TOY)))
    value = refused_or(lambda: from_json(kind, document, resolve=any_of))
    assert value is None or (isinstance(value, kind) and from_json(kind, to_json(value), resolve=any_of) == value)


known_paths = st.sampled_from(list(paths(TOY)))
some_paths = known_paths | st.text() | st.tuples(known_paths, st.text()).map(".".join)
some_texts = (
    st.text()
    | st.integers().map(str)
    | st.floats().map(repr)
    | st.sampled_from(["none", "true", "hinge", "alternating", "gaussian", "toy-with-encoder", "1,2", "toy-mixture"])
)


@given(some_paths, some_texts)
@example("training.steps", "-" + "9" * 400)
@example("training.steps", "9" * 5000)
@example("training.players.a.b", "1")
@example("training.players..beta1", "0.5")
def test_an_override_gives_settings_that_can_be_stored_or_is_refused(path, text):
    value = refused_or(lambda: put_toy(path, text))
    assert value is None or from_json(Settings, to_json(value), resolve=TOYS.resolve) == value
