"""Breaks each promise on purpose, one line at a time, and looks whether the tests notice.

`python tests/faults/mutate.py` tries all mutants in a copy of the tree, and writes the table of docs/reliability.md;
`--only WORD` tries those of a promise or file with that word, and writes nothing.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- table: made by tests/faults/mutate.py -->", "<!-- end of the mutants -->"
COPIED = ("genzoo", "plugins", "tests", "docs", "pyproject.toml", "setup.py", "README.md")
LONGEST = 900
"""Seconds that a test may take; one that hangs has noticed, too."""


class Mutant(NamedTuple):
    """A change of the code, and the test that is to fail with it."""

    promise: str
    file: str
    old: str
    """A text that occurs once in the file."""
    new: str
    test: str
    """A file of tests below tests/, and what `-k` selects in it."""

    @property
    def words(self):
        """The file of tests and the words for `-k`."""
        path, _, chosen = self.test.partition(" ")
        return [str(Path("tests") / path), *(["-k", chosen] if chosen else [])]


CHECKPOINTS, FILES, RUNS = (f"unit/storage/test_{name}.py" for name in ("checkpoints", "files", "run_folder"))
KILLS, SIGNALS, HOSTILE = (f"faults/test_{name}.py" for name in ("kills", "signals", "hostile"))
RESUME, BAD_INPUT, UPKEEP = "faults/test_resume.py", "cli/test_bad_input.py", "cli/test_upkeep.py"
PREPARING, PROCESSES = "unit/data/test_preparing.py", "faults/test_preparing_processes.py"
DOWNLOADS, ROWS, SAVER = (
    f"unit/{name}.py" for name in ("data/test_downloads", "data/test_checked_rows", "runs/test_background_saver")
)
COMPARING, ENVIRONMENT = "cli/test_comparing.py", "unit/runs/test_environment.py"

WHOLE = "a checkpoint is there whole or not at all"
DAMAGE = "damage is noticed before anything is used"
POWER = "what was told as saved outlasts a power failure"
WRITERS = "one process writes a run at a time, and others can see which"
SCORES = "no score and no line of the log is lost, doubled or another's"
SAME = "a run that goes on is the one that never stopped"
RECORDED = "a run says what each part of it was trained with"
SIGNAL = "a signal saves and ends, a second one ends at once"
TOLD = "what is told as saved is on disk"
DATA = "prepared data are whole, theirs, and go on where they stopped"
FOREIGN = "nothing in a file or folder is run, and none takes all memory"
FETCHED = "a download is the published file, and ends"
CELLS = "a comparison leaves no training behind, and names its failures"
CARE = "upkeep sets aside and never deletes unasked"

MUTANTS = [
    # storage/checkpoints.py
    Mutant(
        WHOLE, "genzoo/storage/checkpoints.py", "            sync_folder(stage)\n", "", f"{CHECKPOINTS} synchronised"
    ),
    Mutant(
        WHOLE,
        "genzoo/storage/checkpoints.py",
        "        os.replace(stage, target)\n        sync_folder(target.parent)\n",
        "        os.replace(stage, target)\n",
        f"{CHECKPOINTS} synchronised",
    ),
    Mutant(
        WHOLE, "genzoo/storage/checkpoints.py", "[: -max(keep, 2)]", "[: -max(keep, 1)]", f"{CHECKPOINTS} less_than_two"
    ),
    Mutant(
        WHOLE,
        "genzoo/storage/checkpoints.py",
        "        os.replace(target, displaced)\n",
        "        shutil.rmtree(target)\n",
        f"{CHECKPOINTS} fails or killed",
    ),
    Mutant(
        WHOLE,
        "genzoo/storage/checkpoints.py",
        "        finally:\n            shutil.rmtree(stage, ignore_errors=True)\n",
        "        finally:\n            pass\n",
        f"{CHECKPOINTS} loses_nothing",
    ),
    Mutant(
        WHOLE,
        "genzoo/storage/checkpoints.py",
        "        os.replace(displaced, target)\n\n\ndef set_aside",
        "        shutil.rmtree(displaced)\n\n\ndef set_aside",
        f"{CHECKPOINTS} leftovers or rename",
    ),
    Mutant(WHOLE, "genzoo/storage/checkpoints.py", '.glob(".tmp-*")', '.glob(".none-*")', f"{CHECKPOINTS} leftovers"),
    Mutant(
        WHOLE,
        "genzoo/storage/checkpoints.py",
        "step-([0-9]{7}|[1-9][0-9]{7,})",
        r"step-(\d{7,})",
        f"{CHECKPOINTS} only_names",
    ),
    Mutant(
        DAMAGE,
        "genzoo/storage/checkpoints.py",
        'if digest != entry.get("sha256"):',
        "if False:",
        f"{CHECKPOINTS} damaged_file",
    ),
    Mutant(
        DAMAGE,
        "genzoo/storage/checkpoints.py",
        "if name not in checkpoint.names:",
        "if False:",
        f"{CHECKPOINTS} must_list",
    ),
    Mutant(
        DAMAGE,
        "genzoo/storage/checkpoints.py",
        "if named is None or int(named[1]) != checkpoint.step:",
        "if named is None:",
        f"{CHECKPOINTS} another_step",
    ),
    Mutant(
        DAMAGE,
        "genzoo/storage/checkpoints.py",
        "if not _FILE.fullmatch(name) or not isinstance(entry, dict):",
        "if not isinstance(entry, dict):",
        f"{HOSTILE} manifest_that_names",
    ),
    Mutant(
        WRITERS,
        "genzoo/storage/checkpoints.py",
        "if state.get(key, value) != value:",
        "if False:",
        f"{RUNS} of_another_run",
    ),
    # storage/files.py
    Mutant(
        POWER,
        "genzoo/storage/files.py",
        "        file.flush()\n        os.fsync(file.fileno())\n\n\ndef sync(",
        "        file.flush()\n\n\ndef sync(",
        f"{FILES} before_it_has_its_name",
    ),
    Mutant(
        POWER,
        "genzoo/storage/files.py",
        "        sync_folder(path.parent)\n\n\ndef write_json",
        "\n\ndef write_json",
        FILES,
    ),
    Mutant(
        WHOLE,
        "genzoo/storage/files.py",
        "            write_synced(beside, content)\n            os.replace(beside, path)\n",
        "            path.write_bytes(content)\n",
        f"{FILES} old_file",
    ),
    Mutant(
        WHOLE,
        "genzoo/storage/files.py",
        "            beside.unlink(missing_ok=True)\n",
        "            pass\n",
        f"{FILES} fails",
    ),
    Mutant(DAMAGE, "genzoo/storage/files.py", "if seal != _seal(document):", "if False:", f"{FILES} seal"),
    Mutant(DAMAGE, "genzoo/storage/files.py", "if version > SCHEMA_VERSION:", "if False:", f"{FILES} newer"),
    Mutant(
        DAMAGE,
        "genzoo/storage/files.py",
        "json.JSONDecoder(parse_constant=_refuse_constant)",
        "json.JSONDecoder()",
        f"{HOSTILE} json_does_not_have",
    ),
    Mutant(FOREIGN, "genzoo/storage/files.py", "    if size > limit:\n", "    if False:\n", f"{FILES} more_bytes"),
    Mutant(FOREIGN, "genzoo/storage/files.py", "status = path.lstat()", "status = path.stat()", f"{FILES} regular"),
    Mutant(
        TOLD,
        "genzoo/storage/files.py",
        "        if error.errno in _FULL:\n",
        "        if False:\n",
        f"{FILES} full_disk",
    ),
    # storage/run_lock.py and runs_root.py
    Mutant(WRITERS, "genzoo/storage/run_lock.py", "    if is_lost:\n", "    if False:\n", f"{RUNS} no_longer"),
    Mutant(
        WRITERS,
        "genzoo/storage/run_lock.py",
        "return lock.exists() and lock.stat().st_ino == _HELD.get(folder)",
        "return lock.exists()",
        f"{RUNS} no_longer",
    ),
    Mutant(
        WRITERS,
        "genzoo/storage/run_lock.py",
        "    lock = FileLock(folder / _LOCK)\n",
        '    lock = FileLock(folder / f"{_LOCK}.{os.getpid()}")\n',
        f"{RUNS} holder_named",
    ),
    Mutant(
        WRITERS,
        "genzoo/storage/run_lock.py",
        '    return all(holder.get(key, value) == value for key, value in _identity(folder, holder["pid"]).items())\n',
        "    return True\n",
        f"{RUNS} neither_another",
    ),
    Mutant(WRITERS, "genzoo/storage/runs_root.py", 'with FileLock(root / ".lock"):', "if True:", f"{RUNS} at_once_get"),
    # storage/run_folder.py
    Mutant(
        SCORES,
        "genzoo/storage/run_folder.py",
        "        with run_lock.scores(self.path):\n",
        "        if True:\n",
        f"{RUNS} at_once_lose",
    ),
    Mutant(
        SCORES, "genzoo/storage/run_folder.py", '"scores": earlier + scores}', '"scores": scores}', f"{RUNS} no_other"
    ),
    Mutant(SCORES, "genzoo/storage/run_folder.py", 'if entry["step"] <= step]', "]", f"{RUNS} rewinding"),
    Mutant(
        SCORES,
        "genzoo/storage/run_folder.py",
        '        entries = [entry for entry in entries if keep_partial or not entry.get("partial")]\n',
        "",
        f"{RUNS} partial",
    ),
    Mutant(
        SCORES,
        "genzoo/storage/run_folder.py",
        "lines + ([rest] if rest and _is_json(rest) else [])",
        "lines",
        f"{RUNS} last_line",
    ),
    Mutant(SCORES, "genzoo/storage/run_folder.py", "path.stat().st_nlink > 1", "False", f"{RUNS} hard_links"),
    Mutant(
        POWER,
        "genzoo/storage/run_folder.py",
        "                files.sync(log)\n",
        "                pass\n",
        f"{KILLS} power",
    ),
    Mutant(
        POWER,
        "genzoo/storage/run_folder.py",
        "                files.sync_folder(self.path)\n",
        "                pass\n",
        f"{KILLS} power",
    ),
    Mutant(
        RECORDED,
        "genzoo/storage/run_folder.py",
        "sessions=(*earlier, session)",
        "sessions=(session,)",
        f"{ENVIRONMENT} each_of_its_parts",
    ),
    Mutant(
        RECORDED,
        "genzoo/storage/run_folder.py",
        "if former is not None and (changes :=",
        "if False and (changes :=",
        f"{ENVIRONMENT} each_of_its_parts",
    ),
    Mutant(
        WRITERS,
        "genzoo/storage/run_folder.py",
        "uuid.uuid4().hex if former is None or former.identity is None else former.identity",
        "uuid.uuid4().hex",
        f"{RESUME} other_versions",
    ),
    # runs/
    Mutant(
        RECORDED,
        "genzoo/runs/opening.py",
        "created=run.record.created if run.exists else now(),",
        "created=now(),",
        f"{RESUME} other_versions",
    ),
    Mutant(DAMAGE, "genzoo/runs/opening.py", "        _set_aside_newer(run, newest)\n", "", f"{BAD_INPUT} damaged"),
    Mutant(
        FOREIGN,
        "genzoo/runs/opening.py",
        "        _check_shapes(job.settings, weights_of(checkpoint, raw=True)[0], record)\n",
        "        pass\n",
        f"{HOSTILE} huge_networks",
    ),
    Mutant(
        FOREIGN,
        "genzoo/runs/opening.py",
        "    _check_shapes(settings, tensors, record)\n",
        "",
        f"{HOSTILE} huge_networks",
    ),
    Mutant(
        SAME,
        "genzoo/training/trainer.py",
        '        fill(self._moments(), tensors["optimizers"])\n',
        "",
        f"{RESUME} newer_settings",
    ),
    Mutant(
        SAME,
        "genzoo/training/trainer.py",
        '            self._ema.restore(self._names(), tensors["averaged"])\n',
        "            pass\n",
        f"{RESUME} horizon",
    ),
    Mutant(
        SCORES,
        "genzoo/runs/engine.py",
        "if trainer.step and due(self._training, trainer.step, last=self.is_done).evaluate:",
        "if False:",
        f"{RESUME} made_up",
    ),
    Mutant(SCORES, "genzoo/runs/engine.py", "clear=not is_partial", "clear=True", f"{RESUME} log_of_a_resumed"),
    Mutant(
        SCORES,
        "genzoo/runs/engine.py",
        '        self._meter.restore(state.get("meter") or {}, device=self.trainer.device)\n',
        "",
        f"{RESUME} log_of_a_resumed",
    ),
    Mutant(
        TOLD,
        "genzoo/runs/background_saver.py",
        "        writing.result()\n        self._on_save(step)",
        "        self._on_save(step)\n        writing.result()",
        SAVER,
    ),
    Mutant(TOLD, "genzoo/runs/background_saver.py", "        writing.result()\n", "", SAVER),
    Mutant(
        TOLD,
        "genzoo/runs/background_saver.py",
        "        interrupt = self._wait_through_interrupts()\n",
        "        interrupt = None\n",
        SAVER,
    ),
    Mutant(
        SIGNAL,
        "genzoo/runs/signals.py",
        "args=(reader,), daemon=True).start()",
        "args=(reader,), daemon=True)",
        f"{SIGNALS} long_call_of_c",
    ),
    Mutant(
        SIGNAL,
        "genzoo/runs/signals.py",
        "            if received == 2:\n",
        "            if received == 3:\n",
        f"{SIGNALS} long_call_of_c",
    ),
    Mutant(
        SIGNAL,
        "genzoo/runs/signals.py",
        "                    signal.signal(following, signal.SIG_DFL)\n",
        "                    pass\n",
        f"{SIGNALS} long_call_of_c or ends_training_at_once",
    ),
    Mutant(
        SIGNAL,
        "genzoo/runs/signals.py",
        "        if self._number is not None or not self._is_training:\n",
        "        if not self._is_training:\n",
        "faults/test_interrupts_from_python.py second_interrupt",
    ),
    Mutant(
        SIGNAL,
        "genzoo/runs/signals.py",
        "        self.number = number\n        if torchrun",
        "        if torchrun",
        f"{SIGNALS} ends_training_at_once",
    ),
    # data/
    Mutant(POWER, "genzoo/data/staging.py", "        _sync(self.path / IMAGES)\n", "", f"{PREPARING} power_fails"),
    Mutant(POWER, "genzoo/data/staging.py", "            os.fsync(journal.fileno())\n", "", f"{PREPARING} power_fails"),
    Mutant(
        DATA, "genzoo/data/staging.py", '            if not line.endswith(b"\\n"):', "            if False:", PREPARING
    ),
    Mutant(
        DATA,
        "genzoo/data/staging.py",
        "                reserve(file.fileno(), self.bytes)\n",
        "                file.truncate(self.bytes)\n",
        PREPARING,
    ),
    Mutant(
        DATA, "genzoo/data/preparing.py", '    if card["fingerprint"] == fingerprint:\n', "    if True:\n", PREPARING
    ),
    Mutant(
        DATA,
        "genzoo/data/prepared_card.py",
        '        if files.sha256_of(place / name) != entry["sha256"]:\n',
        "        if False:\n",
        PREPARING,
    ),
    Mutant(
        DATA,
        "genzoo/data/checked_rows.py",
        "            if digest[:HASH_LENGTH] != self._blocks.hash_of(number):\n",
        "            if False:\n",
        ROWS,
    ),
    Mutant(
        CELLS,
        "genzoo/data/decode_pool.py",
        "    threading.Thread(target=_end_with_parent, daemon=True).start()\n",
        "",
        f"{PROCESSES} outlive",
    ),
    Mutant(
        SIGNAL,
        "genzoo/data/decode_pool.py",
        "_safe_path(), _quiet_manager(), _workers",
        "_safe_path(), _workers",
        f"{PROCESSES} own_thread",
    ),
    Mutant(
        FOREIGN,
        "genzoo/data/decode_pool.py",
        'os.environ["PYTHONSAFEPATH"] = "1"',
        'os.environ["PYTHONSAFEPATH"] = ""',
        f"{HOSTILE} current_folder and prepare",
    ),
    Mutant(
        FOREIGN,
        "genzoo/comparison/executors.py",
        '[sys.executable, "-P", "-m"',
        '[sys.executable, "-m"',
        f"{HOSTILE} current_folder and compare",
    ),
    Mutant(
        FOREIGN,
        "genzoo/data/decoding.py",
        "with Image.open(io.BytesIO(content), formats=_formats()) as image:",
        "with Image.open(io.BytesIO(content)) as image:",
        f"{HOSTILE} postscript",
    ),
    Mutant(
        FOREIGN,
        "genzoo/cli/output.py",
        '    return "\\n".join(map(printable, text.split("\\n")))',
        "    return text",
        f"{HOSTILE} control_codes",
    ),
    Mutant(FETCHED, "genzoo/data/downloads.py", "        if md5 != download.md5:\n", "        if False:\n", DOWNLOADS),
    Mutant(FETCHED, "genzoo/data/downloads.py", "        os.fsync(file.fileno())\n", "", DOWNLOADS),
    Mutant(FETCHED, "genzoo/data/downloads.py", "    if size > most:\n", "    if False:\n", DOWNLOADS),
    Mutant(
        FETCHED,
        "genzoo/data/downloads.py",
        "                if have - before < _SLOWEST * _STALL:\n",
        "                if False:\n",
        DOWNLOADS,
    ),
    Mutant(
        FETCHED,
        "genzoo/data/downloads.py",
        "        if records.get(download.file, sha256) != sha256:\n",
        "        if False:\n",
        DOWNLOADS,
    ),
    # comparison/
    Mutant(
        CELLS,
        "genzoo/comparison/worker.py",
        "    is_orphan = end_with_parent()\n",
        "    is_orphan = bool\n",
        f"{COMPARING} comparison_is_killed",
    ),
    Mutant(
        CELLS,
        "genzoo/comparison/executors.py",
        '"GENZOO_PARENT": str(os.getpid())',
        '"GENZOO_NOBODY": "0"',
        f"{COMPARING} comparison_is_killed",
    ),
    Mutant(
        CELLS,
        "genzoo/machine.py",
        "    os.kill(os.getpid(), signal.SIGTERM)\n",
        "    pass\n",
        "unit/test_machine.py asked_once",
    ),
    # storage/upkeep.py
    Mutant(
        CARE,
        "genzoo/storage/upkeep.py",
        "    if old and not checkpoints.newest(run.checkpoints)[1]:\n",
        "    if old:\n",
        f"{UPKEEP} stay",
    ),
    Mutant(
        CARE,
        "genzoo/cli/verify.py",
        "    if delete:\n        for item",
        "    if True:\n        for item",
        f"{UPKEEP} when_asked",
    ),
    Mutant(
        CARE,
        "genzoo/storage/upkeep.py",
        "        os.replace(path, aside)\n        files.sync_folder(path.parent)\n",
        "        path.unlink()\n",
        f"{UPKEEP} set_aside",
    ),
    Mutant(CARE, "genzoo/cli/verify.py", "if not item.run.is_running}", "}", f"{UPKEEP} left_alone"),
]


def mutated(tree, mutant):
    """Write a mutant into a tree, and return the content before."""
    path = tree / mutant.file
    before = path.read_text(encoding="utf-8")
    assert before.count(mutant.old) == 1, f"{mutant.file}: {before.count(mutant.old)} × {mutant.old!r}"
    path.write_text(before.replace(mutant.old, mutant.new), encoding="utf-8")
    return before


def ends_of(words, tree):
    """Return the exit code of a run of tests in a tree, or None where it hung, and its seconds."""
    began = time.monotonic()
    paths = os.pathsep.join(map(str, (tree, tree / "plugins")))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    options = ["-q", "-x", "-n", "0", "-p", "no:cacheprovider", *words]
    command = [sys.executable, "-m", "pytest", *options]
    try:
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, timeout=LONGEST, check=False)
        code = done.returncode
    except subprocess.TimeoutExpired:
        code = None
    return code, time.monotonic() - began


def try_all(mutants, say=print):
    """Yield each mutant with whether a test failed, and the seconds that took; the tests pass without it."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            tree.mkdir(exist_ok=True)
            copy(ROOT / name, tree / name)
        sound = {}
        for mutant in mutants:
            if mutant.test not in sound:
                sound[mutant.test] = ends_of(mutant.words, tree)[0]
            assert sound[mutant.test] == 0, f"without a mutant, {mutant.test} ends with {sound[mutant.test]}"
            before = mutated(tree, mutant)
            code, seconds = ends_of(mutant.words, tree)
            (tree / mutant.file).write_text(before, encoding="utf-8")
            assert code in (0, 1, None), f"{mutant.file}: {mutant.old!r} ends {mutant.test} with {code}"
            place = f"{mutant.file}: {mutant.old.strip().splitlines()[0]:.60}"
            say(f"{'SURVIVED' if code == 0 else 'noticed'} {seconds:5.0f} s  {place}")
            yield mutant, code != 0, seconds


def table(tried):
    """Return the mutants as Markdown, a row per promise."""
    lines = ["| promise | mutants | noticed | tests |", "|---|---|---|---|"]
    for promise in dict.fromkeys(mutant.promise for mutant, *_ in tried):
        of_it = [(mutant, noticed) for mutant, noticed, _ in tried if mutant.promise == promise]
        files = ", ".join(f"`{name}`" for name in dict.fromkeys(mutant.words[0] for mutant, _ in of_it))
        lines.append(f"| {promise} | {len(of_it)} | {sum(noticed for _, noticed in of_it)} | {files} |")
    return "\n".join(lines)


def write(tried):
    """Put the table into the page, survivors included."""
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    survivors, minutes = sum(not noticed for _, noticed, _ in tried), sum(seconds for *_, seconds in tried) / 60
    told = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}. "
    told += f"{len(tried)} mutants, {survivors} survivors, {minutes:.0f} minutes."
    PAGE.write_text(f"{before}{BEGIN}\n\n{told}\n\n{table(tried)}\n\n{END}{after}", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="a word of a promise or of a file's path")
    word = parser.parse_args().only
    chosen = [mutant for mutant in MUTANTS if word in mutant.promise or word in mutant.file]
    tried = list(try_all(chosen))
    if not word:
        write(tried)
    sys.exit(any(not noticed for _, noticed, _ in tried))


if __name__ == "__main__":
    main()
