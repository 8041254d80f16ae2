"""The record of a run (run.json) as a frozen value, and the check of its keys. Needs no torch."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from types import UnionType
from typing import Any, ClassVar

from genzoo.storage.checkpoints import Checkpoint


@dataclass(frozen=True, kw_only=True)
class SourceRecord:
    """The run whose networks another run inherits (`--from`), as the inheriting run records it."""

    plugins: ClassVar[Iterable[str]] = ()

    run: str
    step: int
    sha256: str
    """Hash of the manifest of the checkpoint that was inherited."""
    recipe: str
    settings: dict[str, Any]
    source: "SourceRecord | None" = None
    checkpoint: Checkpoint | None = None
    """The checkpoint itself; None when read from a record, because a resumed run does not need it."""

    def to_json(self) -> dict[str, Any]:
        """Return what the record of the inheriting run stores."""
        source = None if self.source is None else self.source.to_json()
        record = {"recipe": self.recipe, "settings": self.settings, "from": source}
        return {"run": self.run, "step": self.step, "sha256": self.sha256, "record": record}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "SourceRecord":
        """Return the source that checked JSON data describe."""
        record = data["record"]
        return cls(
            run=data["run"],
            step=data["step"],
            sha256=data["sha256"],
            recipe=record["recipe"],
            settings=record["settings"],
            source=None if record["from"] is None else cls.from_json(record["from"]),
        )


@dataclass(frozen=True, kw_only=True)
class Session:
    """What one process trained a run with, on which the last bits of its numbers depend, and more if it changes."""

    step: int
    """The step that it began at."""
    began: str
    """UTC, to the second."""
    device: str
    execution: str
    threads: int | None
    """On a CPU; None on other devices, and where it was not recorded."""
    processor: str
    """The name of a GPU, or the instructions that torch uses on a CPU, such as AVX2; empty where not recorded."""
    versions: dict[str, str]
    plugins: dict[str, str]
    """Version by distribution."""
    code: dict[str, str]
    """SHA-256 of the source files by package, of all packages that the settings' components are from."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Session":
        """Return the session that checked JSON data describe; keys of later versions are ignored."""
        return cls(**{key: data[key] for key in _SESSION_KEYS})

    def changes_since(self, former: "Session") -> list[str]:
        """Return what differs from a former session of the run, as far as that recorded it."""
        names = ("device", "execution", "threads", "processor")
        pairs = [(name, getattr(former, name), getattr(self, name)) for name in names]
        pairs += [(name, old, self.versions.get(name)) for name, old in former.versions.items()]
        pairs += [(name, old, self.plugins.get(name)) for name, old in former.plugins.items()]
        changes = [f"{name} {new or 'missing'} (before: {old})" for name, old, new in pairs if old and old != new]
        other = [name for name, old in former.code.items() if self.code.get(name) != old]
        return list(dict.fromkeys(changes)) + [f"other code of {name}" for name in other]


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What a run was started with: everything that its numbers depend on, and its environment."""

    model: str
    recipe: str
    seed: int
    precision: str
    settings: dict[str, Any]
    """The resolved settings as JSON, by root: game, dataset, architecture, prior, training."""
    overrides: dict[str, str]
    source: SourceRecord | None
    """Stored under `from`."""
    label_frequencies: list[float] | None
    """How often each class or attribute occurs in the training split, in [0, 1]."""
    data: str | None
    """Fingerprint of the data set's files; None where it reads none."""
    device: str
    execution: str
    ranks: int
    versions: dict[str, str]
    plugins: dict[str, str]
    """Version by distribution."""
    created: str
    """UTC, to the second."""
    gradients: str | None = None
    """`one-backward` or `per-player`; None in records from before this was stored."""
    per_player_reason: str | None = None
    """Why each player has a backward pass of its own; None where one of the critic serves both."""
    deterministic: bool = False
    """Whether steps on CUDA take only algorithms that repeat themselves to the bit."""
    threads: int | None = None
    """CPU threads of the process that last trained it, on which the last bits of its numbers depend."""
    sessions: tuple[Session, ...] = ()
    """What each process trained it with, in their order; empty in records from before this was stored."""
    not_taken: list[str] = field(default_factory=list)
    """`PATH=VALUE` for the recipe's choices below `game` that the model did not take; empty in older records."""
    players: list[str] = field(default_factory=list)
    """The names of its players; empty in older records."""
    unused: list[str] = field(default_factory=list)
    """The fields of its game that the losses do not read; empty in older records."""
    identity: str | None = None
    """A random name that the run's checkpoints share; None in records from before this was stored."""
    requires: dict[str, str] = field(default_factory=dict)
    """Version by distribution of what its components are from; empty but for an exported model."""

    @property
    def steps(self) -> int:
        """The number of steps asked for when the run was last started."""
        return int(self.settings["training"]["steps"])

    @property
    def owner(self) -> dict[str, Any]:
        """What the states of the run's own checkpoints say; older ones do not say all of it."""
        return {"seed": self.seed} | ({} if self.identity is None else {"run": self.identity})

    @property
    def last_session(self) -> Session:
        """What it was last trained with."""
        if self.sessions:
            return self.sessions[-1]
        return Session(
            step=0,
            began=self.created,
            device=self.device,
            execution=self.execution,
            threads=self.threads if self.device == "cpu" else None,
            processor="",
            versions=self.versions,
            plugins=self.plugins,
            code={},
        )

    def to_json(self) -> dict[str, Any]:
        """Return the content of run.json."""
        values = {key: getattr(self, _FIELDS.get(key, key)) for key in (*_RUN_KEYS, *_LATER_KEYS)}
        values["sessions"] = [asdict(session) for session in self.sessions]
        return values | {"from": None if self.source is None else self.source.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "RunRecord":
        """Return the record that checked JSON data describe; keys of later versions are ignored."""
        values = {_FIELDS.get(key, key): data[key] for key in _RUN_KEYS}
        later = {key: data[key] for key in _LATER_KEYS if key in data}
        source = None if data["from"] is None else SourceRecord.from_json(data["from"])
        sessions = tuple(Session.from_json(session) for session in data.get("sessions") or ())
        return cls(**values | later | {"source": source, "sessions": sessions})


_FIELDS = {"from": "source"}
"""Fields by their key in run.json, where the two differ."""

_Kinds = Mapping[str, type | UnionType]

_INHERITED_KEYS: _Kinds = {"recipe": str, "settings": dict, "from": dict | None}
_SOURCE_KEYS: _Kinds = {"run": str, "step": int, "sha256": str, "record": dict}
_RUN_KEYS: _Kinds = {
    "model": str,
    "recipe": str,
    "seed": int,
    "precision": str,
    "settings": dict,
    "overrides": dict,
    "from": dict | None,
    "label_frequencies": list | None,
    "data": str | None,
    "device": str,
    "execution": str,
    "ranks": int,
    "versions": dict,
    "plugins": dict,
    "created": str,
}
_LATER_KEYS: _Kinds = {
    "gradients": str | None,
    "per_player_reason": str | None,
    "deterministic": bool,
    "threads": int | None,
    "sessions": list | None,
    "not_taken": list,
    "players": list,
    "unused": list,
    "identity": str | None,
    "requires": dict,
}
"""Keys that older records lack."""
_TEXTS = ("not_taken", "players", "unused", "requires")
"""Those of them that hold texts."""
_SESSION_KEYS: _Kinds = {
    "step": int,
    "began": str,
    "device": str,
    "execution": str,
    "threads": int | None,
    "processor": str,
    "versions": dict,
    "plugins": dict,
    "code": dict,
}


def wrong_key(data: Mapping[str, Any]) -> str | None:
    """Return the first key of a run's record that is missing or of another type, or None."""
    wrong_later = (key for key, kind in _LATER_KEYS.items() if key in data and not isinstance(data[key], kind))
    wrong = _wrong_key(data, _RUN_KEYS) or next(wrong_later, None)
    wrong = wrong or next((key for key in _TEXTS if not _holds_texts(data.get(key, ()))), None)
    return wrong or (None if all(map(_is_session, data.get("sessions") or ())) else "sessions")


def _holds_texts(value: Mapping[str, Any] | Iterable[Any]) -> bool:
    values = value.values() if isinstance(value, Mapping) else value
    return all(isinstance(each, str) for each in values)


def _is_session(data: Any) -> bool:
    return isinstance(data, dict) and all(isinstance(data.get(key, ...), kind) for key, kind in _SESSION_KEYS.items())


def _wrong_key(data: Mapping[str, Any], kinds: _Kinds) -> str | None:
    """Return the first wrong key; the fields of the settings are checked where settings are built."""
    for key, kind in kinds.items():
        if not isinstance(data.get(key, ...), kind):
            return key
    training = data["settings"].get("training")
    if not isinstance(training, dict) or not isinstance(training.get("steps"), int):
        return "settings.training.steps"
    if not all(isinstance(value, str) for value in data.get("overrides", {}).values()):
        return "overrides"
    if not all(isinstance(value, float | int) for value in data.get("label_frequencies") or ()):
        return "label_frequencies"
    source = data["from"]
    if source is None:
        return None
    if source.keys() != _SOURCE_KEYS.keys():
        return "from"
    wrong = next((key for key, kind in _SOURCE_KEYS.items() if not isinstance(source[key], kind)), None)
    wrong = wrong or _wrong_key(source["record"], _INHERITED_KEYS)
    return wrong and f"from.{wrong}"
