"""TensorBoard: event files in a run's folder."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from genzoo.runs import TrackedRun, Tracker, Tracking
from genzoo_trackers.libraries import obstacle_without


@dataclass(frozen=True, kw_only=True)
class TensorBoard(Tracker):
    """TensorBoard's event files, in `trackers/tensorboard` in the run's folder: see `tensorboard --logdir runs`."""

    name: ClassVar[str] = "tensorboard"

    def obstacle(self) -> str | None:
        """Return that TensorBoard is not installed, or None."""
        return obstacle_without("tensorboard")

    def start(self, run: TrackedRun) -> Tracking:
        """Begin a file, which TensorBoard shows as one run with those of earlier sessions; the first has settings."""
        is_new = not run.folder.exists()
        run.folder.mkdir(parents=True, exist_ok=True)
        events = _Events(run.folder)
        if is_new:
            values = {path: str(value).replace("|", "\\|") for path, value in run.settings.items()}
            rows = [f"| {path} | {value} |" for path, value in values.items()]
            events.text(0, "settings", "\n".join(["| setting | value |", "|---|---|", *rows]))
        return events


class _Events(Tracking):
    """A file of events, each of which is written at once.

    TensorBoard's own writer puts the name of this machine into the name of the file, and writes with a delay.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.plugins.text.summary_v2 import text_pb
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary, self._text = event_pb2.Event, summary_pb2.Summary, text_pb
        began = f"{time.time():.6f}"  # files are read in the order of their names
        self._records = RecordWriter((folder / f"events.out.tfevents.{began}").open("xb", buffering=0))
        self._write(file_version="brain.Event:2")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write the numbers as one event."""
        scalars = [self._summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(step=step, summary=self._summary(value=scalars))

    def picture(self, step: int, name: str, path: Path) -> None:
        """Write the file's bytes as they are."""
        with Image.open(path) as picture:
            width, height = picture.size
        image = self._summary.Image(width=width, height=height, colorspace=3, encoded_image_string=path.read_bytes())
        self._write(step=step, summary=self._summary(value=[self._summary.Value(tag=name, image=image)]))

    def card(self, step: int, text: str) -> None:
        """Write it as a text, of which TensorBoard shows the latest first."""
        self.text(step, "card", text)

    def text(self, step: int, name: str, text: str) -> None:
        """Write Markdown."""
        self._write(step=step, summary=self._text(name, text))

    def finish(self, *, done: bool) -> None:
        """Close the file."""
        self._records.close()

    def _write(self, **content: Any) -> None:
        self._records.write(self._event(wall_time=time.time(), **content).SerializeToString())
