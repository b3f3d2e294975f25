"""Default folder for the files of reco, in the home of the account, and account names."""

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
        UsageError: the account has no home: HOME is not set, and passwd has no entry for it.
        NotInstalled: the package that finds the user's data folder is missing.
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
    if not folder.is_absolute():  # older versions of the package return "~" unexpanded
        raise homeless
    return folder


def account(uid: int) -> str:
    """Return the name of an account, or its number if it has no name."""
    from pwd import getpwuid  # noqa: PLC0415  POSIX only

    try:
        return getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
