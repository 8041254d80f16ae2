"""The progress of a comparison: the end of a log that grows, is cut short, and is written anew."""

import json
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from genzoo.comparison import (
    progress,
)
from genzoo.comparison.progress import LogTail
from genzoo.storage import files
from genzoo.storage.run_folder import Run


def test_every_byte_of_a_log_is_read_once(tmp_path, monkeypatch):
    run = Run(tmp_path)
    tail, path = LogTail(run), tmp_path / "metrics.jsonl"
    assert tail.step() == 0
    read = []
    real = progress.json.loads
    monkeypatch.setattr(progress.json, "loads", lambda line: read.append(bytes(line)) or real(line))
    path.write_bytes(b'{"step": 10}\n{"step": 20}\n{"st')
    assert tail.step() == 20
    assert tail.step() == 20
    assert read == [b'{"step": 20}']
    with path.open("ab") as file:
        file.write(b'ep": 30}\n')
    assert tail.step() == 30
    files.write(path, b'{"step": 5}\n')  # as a run that goes on from a checkpoint writes its log anew
    assert tail.step() == 5
    path.unlink()
    assert tail.step() == 5


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=30), st.data())
def test_a_log_that_grows_in_pieces_has_the_step_of_its_last_whole_line(steps, data):
    content = b"".join(json.dumps({"step": step, "losses": {}}).encode() + b"\n" for step in steps)
    with tempfile.TemporaryDirectory() as folder:
        path, tail, at = Path(folder) / "metrics.jsonl", LogTail(Run(Path(folder))), 0
        while at < len(content):
            end = data.draw(st.integers(at + 1, len(content)))
            with path.open("ab") as file:
                file.write(content[at:end])
            at = end
            whole = content[:at].count(b"\n")
            assert tail.step() == (steps[whole - 1] if whole else 0)
