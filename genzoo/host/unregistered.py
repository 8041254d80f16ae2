"""Components that no plugin registers: their names are MODULE:CLASS, and their code is imported only on request.

A run's record holds such a name. Reading the record imports nothing: whoever opens the run must have imported the
module, because a record may come from elsewhere.
"""

import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from genzoo.components import Component
from genzoo.errors import PluginError, SettingsError, UnreadableError
from genzoo.host.isolation import plugin_errors
from genzoo.text import nearest


def is_code_name(name: str) -> bool:
    """Return whether it is FILE.py:CLASS or MODULE:CLASS."""
    where, _, class_name = name.rpartition(":")
    return class_name.isidentifier() and (where.endswith(".py") or all(map(str.isidentifier, where.split("."))))


def import_named(name: str) -> str:
    """Import the code of FILE.py:CLASS or MODULE:CLASS, as a user types it, and return MODULE:CLASS."""
    where, _, class_name = name.rpartition(":")
    module = import_code(where)
    if class_called(f"{module}:{class_name}") is None:
        names = [key for key in vars(sys.modules[module]) if class_called(f"{module}:{key}") is not None]
        remedy = (
            f"it has: {', '.join(names)}" if names else "a component is a subclass of Game, Dataset, Architecture, …"
        )
        raise SettingsError(f"{where} has no component '{class_name}'{nearest(class_name, names)}", remedy)
    return f"{module}:{class_name}"


def import_code(where: str) -> str:
    """Import a file whose name ends in .py, or a module, and return the module's name.

    Of a file it is the name without .py. Files beside it can be imported, too, unless an installed module has the name.
    """
    path = Path(where)
    if path.suffix != ".py":
        try:
            with plugin_errors(f"{where} cannot be imported", "mend it, and type the command again"):
                import_module(where)
        except PluginError as error:
            if isinstance(error.__cause__, ModuleNotFoundError) and error.__cause__.name == where.partition(".")[0]:
                raise SettingsError(f"no module is named '{where}'", "name its file: FILE.py") from None
            raise
        return where
    if not path.is_file():
        raise UnreadableError(f"there is no file {where}", "name a Python file: FILE.py")
    if not path.stem.isidentifier():
        raise SettingsError(f"{where} is no name of a module", "name it with letters, digits and underscores")
    present = sys.modules.get(path.stem)
    if present is None:
        _run_file(path)
    elif _file_of(present) != path.resolve():
        raise SettingsError(f"{where} cannot be imported: there is another module '{path.stem}'", "rename the file")
    return path.stem


def code_name_of(component: type[Component]) -> str:
    """Return MODULE:CLASS; raise `SettingsError` for a class that cannot be reached by such a name."""
    module = sys.modules[component.__module__]
    name = f"{_module_name(module)}:{component.__qualname__}"
    if class_called(name) is not component:
        raise SettingsError(
            f"{component.__qualname__} is not at the top of a module, so nothing trained with it could be loaded",
            "define it there, or register it with a plugin",
        )
    return name


def class_called(name: str) -> type[Component] | None:
    """Return the class MODULE:CLASS if its module has been imported."""
    module_name, _, class_name = name.rpartition(":")
    main = sys.modules["__main__"]
    module = main if module_name == _module_name(main) else sys.modules.get(module_name)
    value = getattr(module, class_name, None)
    return value if isinstance(value, type) and issubclass(value, Component) else None


def code_of(document: Any) -> Iterator[str]:
    """Yield what `import_code` needs in another process for the components named anywhere in a JSON document."""
    if isinstance(document, dict):
        for value in document.values():
            yield from code_of(value)
    elif isinstance(document, list):
        for value in document:
            yield from code_of(value)
    elif isinstance(document, str) and ":" in document and (component := class_called(document)) is not None:
        module = sys.modules[component.__module__]
        file = _file_of(module)
        if file is None:
            raise SettingsError(
                f"{component.__qualname__} is defined in this session, and is needed in another process",
                "put it in a file, and import it from there",
            )
        yield _module_name(module) if "." in _module_name(module) else str(file)


def _run_file(path: Path) -> None:
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.append(str(path.resolve().parent))
    try:
        with plugin_errors(f"{path} cannot be imported", "mend it, and type the command again"):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise


def _module_name(module: ModuleType) -> str:
    """Return the module's name; that of a program is its file's."""
    file = _file_of(module)
    return file.stem if module.__name__ == "__main__" and file is not None else module.__name__


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file).resolve()
