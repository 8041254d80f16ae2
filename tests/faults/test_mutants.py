"""Promises that are broken on purpose: every mutant still fits the code, and a test notices it."""

import ast

import mutate
import pytest


@pytest.mark.parametrize("mutant", mutate.MUTANTS, ids=lambda mutant: f"{mutant.file}: {mutant.old.strip():.40}")
def test_a_mutant_changes_one_place_of_the_code_and_is_still_python(tmp_path, mutant):
    path = tmp_path / mutant.file
    path.parent.mkdir(parents=True)
    path.write_text((mutate.ROOT / mutant.file).read_text(encoding="utf-8"), encoding="utf-8")
    before = mutate.mutated(tmp_path, mutant)
    after = path.read_text(encoding="utf-8")
    assert ast.dump(ast.parse(after)) != ast.dump(ast.parse(before))
    assert (mutate.ROOT / mutant.words[0]).is_file()


def test_there_are_sixty_and_more():
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in mutate.MUTANTS}) == len(mutate.MUTANTS) >= 60


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_every_mutant_is_noticed():
    assert [mutant for mutant, is_noticed, _ in mutate.try_all(mutate.MUTANTS) if not is_noticed] == []
