"""Notes on runs: a text and a tag that a person gave a run, in a file of their own in its folder. Needs no torch."""

from dataclasses import dataclass

from genzoo.errors import UnreadableError
from genzoo.storage import files
from genzoo.storage.run_folder import Run

_NOTE_FILE = "note.json"


@dataclass(frozen=True, kw_only=True)
class RunNote:
    """What a person noted on a run; empty where nothing was."""

    text: str = ""
    tag: str = ""

    @classmethod
    def of(cls, run: Run) -> "RunNote":
        """Return the note on a run; raise `UnreadableError` if it is damaged."""
        path = run.path / _NOTE_FILE
        if not path.exists():
            return cls()
        content = files.read_json(path, "a run's note", remedy=f"write another: genzoo note {run.path} TEXT")
        text, tag = content.get("text"), content.get("tag")
        if not isinstance(text, str) or not isinstance(tag, str):
            raise UnreadableError(f"{path} is not a run's note", f"write another: genzoo note {run.path} TEXT")
        return cls(text=text, tag=tag)

    def write(self, run: Run) -> None:
        """Write the note into the folder of a run, in place of an earlier one."""
        document = {"schema_version": files.SCHEMA_VERSION, "text": self.text, "tag": self.tag}
        files.write_json(run.path / _NOTE_FILE, document)

    def __str__(self) -> str:
        return "  ".join(part for part in (f"[{self.tag}]" if self.tag else "", self.text) if part)
