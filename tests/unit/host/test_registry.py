"""The plugin host: what it finds, what it sets aside, and what a name then means."""

import sys
from dataclasses import replace
from importlib.metadata import entry_points

import pytest
from sites import HOOKS, names, on_the_path

import genzoo
from genzoo.comparison import ExecutorFactory, Study
from genzoo.data import Dataset
from genzoo.errors import PluginError, SettingsError
from genzoo.evaluation import Metric
from genzoo.games import Game, Objective, Schedule
from genzoo.host.discovery import GROUP, discover, registry
from genzoo.nn import Architecture
from genzoo.runs import Store
from genzoo.runs.job import find_game, find_recipe


@pytest.fixture
def site(tmp_path):
    with on_the_path(tmp_path) as found:
        yield found


# A good plugin


def test_a_good_plugin_is_listed_with_its_distribution_and_its_offers(site):
    site.good("zoo-fish", name="fish", version="2.3")
    found = site.discover()
    plugin = found.plugins[-1]
    assert (plugin.name, plugin.distribution, plugin.version) == ("zoo_fish", "zoo-fish", "2.3")
    assert plugin.summary == "A good plugin."
    assert plugin.cause is None
    entry = found.find("models", "fish")
    assert entry is found.find("models", "zoo-fish:fish")
    assert (entry.summary, entry.plugin) == ("a model", plugin)
    assert found.warnings == found.broken == []


def test_the_core_comes_first_and_offers_objectives_schedules_and_a_prior():
    found = discover([])
    assert [plugin.name for plugin in found.plugins] == ["genzoo"]
    assert found.plugins[0].version == genzoo.__version__
    assert {entry.kind for entry in found.entries} == {"components", "executors"}
    assert names(found, "executors") == ["local"]
    assert {"non-saturating", "hinge", "simultaneous", "alternating", "standard-normal"} <= set(
        names(found, "components")
    )


def test_a_plugin_may_offer_classes_and_recipes_themselves(site):
    site.install(
        "zoo-direct",
        """
        from genzoo import hookimpl
        from genzoo.games.objectives import Hinge
        from toy_components import RECIPE
        from dataclasses import replace

        class Soft(Hinge):
            '''A softer hinge.'''
            name = "soft"

        MINE = replace(RECIPE, name="mine", summary="my own")

        @hookimpl
        def genzoo_components():
            return [Soft]

        @hookimpl
        def genzoo_recipes():
            return [MINE]
        """,
    )
    found = site.discover()
    assert found.find("components", "soft").summary == "A softer hinge."
    assert found.resolve(Objective, "soft").__name__ == "Soft"
    assert found.load("recipes", "mine").name == "mine"
    assert found.find("recipes", "mine").summary == "my own"


def test_a_plugin_without_hooks_is_a_plugin_without_offers(site):
    site.install("zoo-empty", "'''Nothing yet.'''")
    found = site.discover()
    assert found.broken == []
    assert found.plugins[-1].summary == "Nothing yet."
    assert {entry.plugin.name for entry in found.entries} == {"genzoo"}


def test_the_entry_point_may_lead_to_an_object_inside_a_module(site):
    site.install(
        "zoo-object",
        """
        from genzoo import hookimpl, lazy

        class Hooks:
            @hookimpl
            def genzoo_metrics(self):
                return (lazy("depth", "nowhere:Depth", "how deep"),)

        hooks = Hooks()
        """,
        points={"zoo": "zoo_object:hooks"},
    )
    assert names(site.discover(), "metrics") == ["depth"]


def test_what_a_plugin_prints_at_import_or_in_a_hook_does_not_reach_stdout(site, capsys):
    site.install(
        "zoo-loud",
        """
        from genzoo import hookimpl
        print("loud import")

        @hookimpl
        def genzoo_models():
            print("loud hook")
            return []
        """,
    )
    assert site.discover().broken == []
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "loud import\nloud hook\n"


def test_what_a_lazy_target_prints_at_import_does_not_reach_stdout(site, capsys):
    site.good("zoo-loud-target", name="loud", points={"zoo": "zoo_loud_target"})
    module = site.folder / "zoo_louder.py"
    module.write_text("print('loud target')\nclass Loud: pass\n")
    entry = site.discover().find("models", "loud")
    replace(entry, offer=entry.offer._replace(target="zoo_louder:Loud")).load()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "loud target\n"


# Broken plugins (their kinds are in test_broken_plugins.py)


def test_the_trace_of_a_broken_plugin_leads_to_its_line(site):
    site.install("zoo-broken", "first = 1\nraise RuntimeError('here')")
    (broken,) = site.discover().broken
    assert "zoo_broken.py" in broken.trace
    assert "line 2" in broken.trace


def test_a_broken_plugin_is_listed_beside_the_others_in_order_of_name(site):
    site.good("zoo-b")
    site.install("zoo-a", "raise RuntimeError")
    assert [plugin.name for plugin in site.discover().plugins] == ["genzoo", "zoo_a", "zoo_b"]


# Lazy targets


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        ("nothing_of_that_name:Model", "ModuleNotFoundError"),
        ("zoo_lazy:Nothing", "AttributeError"),
        ("zoo_lazy", "AttributeError"),
        ("zoo_exits:Model", "SystemExit: 9"),
        ("zoo_wrong:Model", "SyntaxError"),
        ("", "ValueError"),
    ],
)
def test_a_lazy_target_that_fails_is_a_plugin_error_that_names_all(site, target, cause):
    site.install(
        "zoo-lazy",
        f"""
        from genzoo import hookimpl, lazy

        @hookimpl
        def genzoo_models():
            return [lazy("lazy", "{target}", "a model")]
        """,
    )
    (site.folder / "zoo_exits.py").write_text("raise SystemExit(9)")
    (site.folder / "zoo_wrong.py").write_text("def wrong(:")
    found = site.discover()
    assert found.warnings == []
    with pytest.raises(PluginError) as caught:
        found.load("models", "lazy")
    assert caught.value.exit_code == 4
    assert caught.value.found.startswith(f"model 'lazy' of zoo-lazy cannot be loaded from {target}: ")
    assert cause in caught.value.found
    assert caught.value.remedy.endswith("pip uninstall zoo-lazy")


def test_what_is_registered_as_a_recipe_and_is_none_is_the_plugins_fault(site):
    site.install("zoo-r", HOOKS + "@hookimpl\ndef genzoo_recipes(): return [lazy('r', 'zoo_r:lazy', 'r')]")
    with pytest.raises(PluginError, match="not a Recipe"):
        find_recipe(site.discover(), "r")


def test_what_is_registered_as_a_model_and_is_none_is_the_plugins_fault(site):
    site.install("zoo-m", HOOKS + "@hookimpl\ndef genzoo_models(): return [lazy('m', 'zoo_m:lazy', 'm')]")
    with pytest.raises(PluginError, match="not a Game"):
        find_game(site.discover(), "m")


def test_a_lazy_entry_whose_target_goes_by_another_name_is_the_plugins_fault(site):
    source = (
        HOOKS
        + """
from genzoo.games.objectives import Hinge

class Bird(Hinge):
    name = "bird"

@hookimpl
def genzoo_components(): return [lazy("fish", "zoo_names:Bird", "a fish")]
"""
    )
    site.install("zoo-names", source)
    found = site.discover()
    with pytest.raises(PluginError, match="bird"):
        found.resolve(Objective, "fish")


# Names


def test_an_unknown_name_gets_the_nearest_and_the_list():
    with pytest.raises(SettingsError) as caught:
        registry().find("models", "aly")
    assert caught.value.exit_code == 2
    assert caught.value.found == "no model named 'aly'; did you mean 'ali'?"
    assert caught.value.remedy == f"there are: {', '.join(names(registry(), 'models'))}"


def test_an_unknown_name_lists_broken_plugins_beside_the_nearest_name(site):
    site.good("zoo-fish", name="fish")
    site.install("zoo-one", "raise RuntimeError('one')")
    site.install("zoo-two", "raise RuntimeError('two')")
    found = site.discover()
    with pytest.raises(PluginError) as caught:
        found.find("models", "fisch")
    assert caught.value.exit_code == 4
    assert caught.value.found == "no model named 'fisch'; did you mean 'fish'?"
    assert "zoo-one (RuntimeError: one); zoo-two (RuntimeError: two)" in caught.value.remedy
    assert found.find("models", "fish").name == "fish"


def test_without_any_offer_an_unknown_name_says_so():
    with pytest.raises(SettingsError) as caught:
        discover([]).find("models", "nothing")
    assert caught.value.remedy == "no plugin offers any"


def test_a_name_that_two_plugins_offer_must_be_qualified(site):
    site.good("zoo-one", name="fish")
    site.good("zoo-two", name="fish")
    site.good("zoo-three", name="bird")
    found = site.discover()
    assert found.warnings == ["2 plugins offer the model 'fish': say zoo-one:fish or zoo-two:fish"]
    with pytest.raises(PluginError) as caught:
        found.find("models", "fish")
    assert caught.value.exit_code == 4
    assert "zoo-one:fish" in caught.value.remedy
    assert "zoo-two:fish" in caught.value.remedy
    for distribution in ("zoo-one", "zoo-two"):
        assert found.find("models", f"{distribution}:fish").plugin.distribution == distribution
    assert found.find("models", "bird").plugin.distribution == "zoo-three"


def test_one_name_may_be_of_two_kinds(site):
    site.install(
        "zoo-kinds",
        HOOKS + "@hookimpl\ndef genzoo_models(): return [lazy('a', 'a:A', 'model')]\n"
        "@hookimpl\ndef genzoo_recipes(): return [lazy('a', 'b:B', 'recipe')]",
    )
    found = site.discover()
    assert found.warnings == []
    assert [found.find(kind, "a").summary for kind in ("models", "recipes")] == ["model", "recipe"]


def test_a_component_whose_name_is_ambiguous_is_stored_by_its_qualified_name(site):
    source = """
        from genzoo import hookimpl
        from genzoo.games.objectives import Hinge

        class Mine(Hinge):
            name = "mine"

        @hookimpl
        def genzoo_components():
            return [Mine]
    """
    site.install("zoo-one", source)
    site.install("zoo-two", source)
    found = site.discover()
    two = found.resolve(Objective, "zoo-two:mine")
    assert two.__module__ == "zoo_two"
    assert found.name_of(two()) == "zoo-two:mine"
    assert found.name_of(found.resolve(Objective, "hinge")()) == "hinge"


def test_a_component_of_another_kind_is_refused_under_its_name():
    with pytest.raises(SettingsError, match="no objective named 'alternating'"):
        registry().resolve(Objective, "alternating")
    with pytest.raises(SettingsError, match="no schedule named 'hinge'"):
        registry().resolve(Schedule, "hinge")


# The set of plugins


def contents(found):
    return found.plugins, [(entry.kind, entry.qualified, entry.offer) for entry in found.entries], found.warnings


def test_an_entry_point_that_is_found_twice_counts_once(site):
    site.good("zoo-fish", name="fish")
    assert contents(discover(site.points * 2)) == contents(discover(site.points))


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (None, ["genzoo", "zoo_a", "zoo_b", "zoo_c"]),
        ("", ["genzoo"]),
        (" , ", ["genzoo"]),
        ("zoo_b", ["genzoo", "zoo_b"]),
        ("zoo_c, zoo_a", ["genzoo", "zoo_a", "zoo_c"]),
    ],
)
def test_the_plugins_can_be_narrowed_to_some_entry_points(site, only, expected):
    for distribution in ("zoo-a", "zoo-b", "zoo-c"):
        site.good(distribution)
    found = site.discover(only=only)
    assert [plugin.name for plugin in found.plugins] == expected
    assert found.warnings == []


def test_a_plugin_that_is_left_out_is_not_imported(site):
    site.install("zoo-broken", "raise RuntimeError")
    assert site.discover(only="").broken == []
    assert "zoo_broken" not in sys.modules


def test_a_narrowing_name_that_is_not_installed_is_one_warning(site):
    site.good("zoo-a")
    found = site.discover(only="zoo_a,zoo_z")
    assert found.warnings == ["GENZOO_PLUGINS names 'zoo_z', which is not installed"]
    assert names(found, "models") == ["zoo-a"]


# The default recipe

DEFAULT = (
    HOOKS
    + """
@hookimpl
def genzoo_recipes():
    return [lazy("{name}", "{module}:Nothing", "a recipe")]

@hookimpl
def genzoo_default_recipe():
    return {answer}
"""
)


def offer(site, distribution, answer=None, **more):
    answer = repr(distribution) if answer is None else answer
    site.install(distribution, DEFAULT.replace("{name}", distribution).replace("{answer}", answer), **more)


def test_without_an_offer_there_is_no_default_recipe_and_the_remedy_names_one(site):
    site.good("zoo-a")
    found = site.discover()
    assert found.default_recipe is None
    assert found.recipe_or_default("any") == "any"
    with pytest.raises(SettingsError) as caught:
        found.recipe_or_default(None)
    assert caught.value.found == "no recipe was named, and no installed plugin offers a default one"
    assert caught.value.remedy == "choose one: --recipe R; recipes are listed by: genzoo list recipes"


def test_the_default_recipe_is_the_first_distributions_and_genzoos_own_comes_last(site):
    assert discover(entry_points(group=GROUP)).default_recipe is not None
    offer(site, "zoo-b", points={"a": "zoo_b"})
    assert discover([*entry_points(group=GROUP), *site.points]).default_recipe == "zoo-b"
    assert site.discover().default_recipe == "zoo-b"
    offer(site, "zoo-a", points={"z": "zoo_a"})
    found = site.discover()
    assert (found.default_recipe, found.recipe_or_default(None), found.warnings) == ("zoo-a", "zoo-a", [])


def test_a_default_recipe_that_no_plugin_offers_is_passed_over_with_one_warning(site):
    offer(site, "zoo-a", "'recipe-of-nobody'")
    offer(site, "zoo-b")
    found = site.discover()
    assert found.default_recipe == "zoo-b"
    assert found.warnings == [
        "plugin zoo_a of zoo-a names the default recipe 'recipe-of-nobody', which no plugin offers"
    ]


@pytest.mark.parametrize("answer", ["3", "['zoo-a']", "lazy('zoo-a', 'zoo_a:Nothing', 'a recipe')"])
def test_a_default_recipe_that_is_no_name_makes_the_plugin_a_broken_one(site, answer):
    offer(site, "zoo-a", answer)
    found = site.discover()
    (broken,) = found.broken
    assert "expected the name of a recipe" in broken.cause
    assert names(found, "recipes") == []


# Kinds


def test_an_abstract_class_says_its_kind_and_every_other_component_is_listed_as_such():
    bases = {"models": Game, "datasets": Dataset, "architectures": Architecture, "metrics": Metric, "studies": Study}
    bases |= {"executors": ExecutorFactory, "stores": Store}
    assert {base.kind: base for base in bases.values()} == bases
    assert {base.kind for base in (Objective, Schedule)} == {"components"}


def test_a_class_of_a_plugin_that_is_called_like_one_of_the_cores_is_of_no_kind_of_its_own(site):
    site.good("zoo-b")
    site.install("zoo-a", "from genzoo.components import Component\n\nclass Game(Component):\n    '''Chess.'''\n")
    import zoo_a

    with pytest.raises(SettingsError, match="no game named"):
        site.discover().resolve(zoo_a.Game, "zoo-b")


# Look-ups for programs


def test_what_is_registered_is_found_by_kind_and_name():
    assert genzoo.find("component", "hinge") is registry().load("components", "hinge")
    with pytest.raises(SettingsError, match="no kind 'recipes'; did you mean 'recipe'"):
        genzoo.find("recipes", "any")
    with pytest.raises(SettingsError, match="no component named 'hing'; did you mean 'hinge'"):
        genzoo.find("component", "hing")
