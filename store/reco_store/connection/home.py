"""The folder for reco's own files where none is named: in the home of the account that runs it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reco_store.errors import NotInstalled, UsageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["account", "default_home"]


def default_home() -> Path:
    """Return the user's data folder, which need not exist.

    Raises:
        UsageError: the account has no home: HOME is not set, and no entry in passwd names one.
        NotInstalled: the package that knows where the data of users belong is missing.
    """
    try:
        from platformdirs import user_data_path  # noqa: PLC0415  of the extra
    except ImportError as error:
        raise NotInstalled("the embedded store", "embedded") from error
    homeless = UsageError(
        f"the account {account(os.getuid())} has no home folder: HOME is not set to one, and "
        "passwd has no entry for it. Name a folder with RECO_HOME or --home, or, to read only, a "
        "server with REDIS_URL."
    )
    try:
        folder = user_data_path("reco")
    except RuntimeError as error:
        raise homeless from error
    if not folder.is_absolute():  # older versions of the package leave "~" as it is
        raise homeless
    return folder


def account(uid: int) -> str:
    """Return the name of an account, or its number where it has no name."""
    from pwd import getpwuid  # noqa: PLC0415  on POSIX only

    try:
        return getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
