"""Versions: a plugin made for another genzoo is told of, hooks of other versions are let pass, and names are missed."""

import pytest
from sites import names, on_the_path

from genzoo import PluginError, __version__
from genzoo.public.names import FORMER, Former

LAZY = """
    from genzoo import hookimpl, lazy

    @hookimpl
    def genzoo_models():
        return [lazy("past", "past_parts:Gone", "a model")]
"""


@pytest.fixture
def site(tmp_path):
    with on_the_path(tmp_path) as found:
        yield found


def require(site, distribution, requirement):
    """Add a requirement to the metadata of an installed distribution."""
    (metadata,) = site.folder.glob(f"{distribution.replace('-', '_')}-*.dist-info/METADATA")
    metadata.write_text(metadata.read_text() + f"Requires-Dist: {requirement}\n")


@pytest.mark.parametrize("requirement", ["genzoo>=9", "genzoo (<0.0.1)"])
def test_a_plugin_made_for_another_version_is_told_of_and_loaded(site, requirement):
    site.good("zoo-late")
    require(site, "zoo-late", requirement)
    found = site.discover()
    assert names(found, "models") == ["zoo-late"]
    (warning,) = found.warnings
    assert warning.startswith("plugin zoo_late of zoo-late 1.0 is made for genzoo ")
    assert warning.endswith(f", and this is {__version__}")


@pytest.mark.parametrize("requirement", [f"genzoo=={__version__}", "genzoo", "genzoo-other>=9", "torch>=99"])
def test_a_plugin_that_fits_is_told_nothing(site, requirement):
    site.good("zoo-fit")
    require(site, "zoo-fit", requirement)
    assert site.discover().warnings == []


def test_an_optional_hook_of_another_version_is_let_pass(site):
    source = """
        from genzoo import hookimpl, lazy

        @hookimpl
        def genzoo_models():
            return [lazy("early", "nowhere:Early", "a model")]

        @hookimpl{options}
        def genzoo_planners():
            return []
    """
    site.install("zoo-early", source.replace("{options}", "(optionalhook=True)"))
    assert names(site.discover(), "models") == ["early"]
    site.install("zoo-strict", source.replace("{options}", ""))
    assert [plugin.distribution for plugin in site.discover().broken] == ["zoo-strict"]


def test_a_failed_import_of_a_removed_name_says_which_version_had_it(site, monkeypatch):
    monkeypatch.setitem(FORMER, "genzoo.games.Gone", Former("0.0"))
    site.install("zoo-past", "from genzoo.games import Gone")
    require(site, "zoo-past", "genzoo<0.1")
    (broken,) = site.discover().broken
    assert "cannot import name 'Gone'" in broken.cause
    assert "; the last genzoo that has it is 0.0" in broken.cause
    assert broken.cause.endswith(f"; made for genzoo <0.1, and this is {__version__}")


def test_so_does_that_of_a_module_which_is_imported_when_it_is_needed(site, monkeypatch):
    monkeypatch.setitem(FORMER, "genzoo.games.Gone", Former("0.0", "genzoo.games.Hinge"))
    site.install("zoo-past", LAZY)
    (site.folder / "past_parts.py").write_text("from genzoo.games import Gone")
    with pytest.raises(PluginError) as raised:
        site.discover().load("models", "past")
    assert "cannot import name 'Gone'" in raised.value.found
    assert "; the last genzoo that has it is 0.0; use genzoo.games.Hinge" in raised.value.found
