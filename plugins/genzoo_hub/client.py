"""The client of the hub: huggingface_hub, imported when it is needed, and its errors in genzoo's words."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from genzoo import ResourceError, SettingsError, UnreadableError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def require_client() -> None:
    """Raise `SettingsError` if huggingface_hub is not installed."""
    try:
        import huggingface_hub  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            "the hub needs huggingface_hub, which is not installed", "type: pip install 'genzoo[hub]'"
        ) from error


def split_address(address: str) -> tuple[str, str | None]:
    """Return repository and revision of [hf://]OWNER/NAME[@REVISION]; raise `SettingsError` for anything else."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    repository, at, revision = address.removeprefix("hf://").partition("@")
    try:
        validate_repo_id(repository)
        if repository.count("/") != 1 or (at and not revision):
            raise HFValidationError(repository)
    except HFValidationError as error:
        raise SettingsError(
            f"'{address}' is no repository of the hub", "expected: OWNER/NAME or OWNER/NAME@REVISION"
        ) from error
    return repository, revision or None


@contextmanager
def hub_errors(what: str) -> Iterator[None]:
    """Turn the errors of huggingface_hub into genzoo's, which begin with `what`, in place of what it logs.

    Its bars are shown in a terminal alone.
    """
    from huggingface_hub import errors, utils

    hides, verbosity = not sys.stderr.isatty() and not utils.are_progress_bars_disabled(), utils.logging.get_verbosity()
    utils.logging.set_verbosity_error()
    if hides:
        utils.disable_progress_bars()
    try:
        yield
    except errors.GatedRepoError as error:
        raise UnreadableError(
            f"{what}: its owner has to give you access", "ask for it there, then: hf auth login"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UnreadableError(
            f"{what}: there is no such repository, or it is private", "check its name, or log in: hf auth login"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UnreadableError(f"{what}: it has no such revision", "name a branch, a tag or a commit: @main") from error
    except errors.LocalEntryNotFoundError as error:
        raise UnreadableError(
            f"{what}: the hub cannot be reached, and its cache on this machine does not hold all of it",
            "try again when the hub can be reached",
        ) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        raise UnreadableError(
            f"{what}: the hub answers {status}" + (f", {error.server_message}" if error.server_message else ""),
            "log in with a token that may do this: hf auth login" if status in (401, 403) else "try again later",
        ) from error
    except (OSError, errors.HTTPError) as error:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise ResourceError(f"{what}: the disk is full", "free some space, then type the same again") from error
        raise UnreadableError(f"{what}: {str(error).partition(chr(10))[0]}", "try again") from error
    finally:
        utils.logging.set_verbosity(verbosity)
        if hides:
            utils.enable_progress_bars()
