"""Recognition and masking of addresses that are given in place of a folder."""

import os
import re
from typing import Final
from urllib.parse import unquote, urlsplit

_ADDRESS: Final = re.compile(r"([a-z][a-z0-9+.-]*:)?[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_LOGIN: Final = re.compile(r"://.*@", re.DOTALL)
_SECRET: Final = re.compile(
    r"(?i)((?:password|passwd|pwd|secret|token|key|signature|sig|credential)[a-z_-]*=)[^&;\s]*"
)
#: Environment variables from which drivers and object stores take their secrets.
_VARIABLE: Final = re.compile(r"PGPASSWORD|AWS_\w*(KEY|TOKEN)\w*|AZURE_\w*(KEY|TOKEN|SECRET)\w*")


def is_address(text: str) -> bool:
    """Return whether a text is a URL, such as postgresql://... or s3://..."""
    return _ADDRESS.match(text) is not None


def mask_address(text: str) -> str:
    """Return an address without login, password and keys; any other text unchanged."""
    if not is_address(text):
        return text
    return _SECRET.sub(r"\1***", _LOGIN.sub("://***@", text))


def scrubbed(text: str, address: str) -> str:
    """Return a message of a library without the secrets of an address and of the environment."""
    text = text.replace(address, mask_address(address))
    for secret in _secrets(address):
        text = text.replace(secret, "***")
    return text


def _secrets(address: str) -> set[str]:
    """Return the password of an address as written and decoded, its keys, and variables."""
    login = urlsplit(address).netloc.rpartition("@")[0]
    _, _, password = login.partition(":")
    keys = [found.group().partition("=")[2] for found in _SECRET.finditer(address)]
    variables = [value for name, value in os.environ.items() if _VARIABLE.fullmatch(name)]
    return {one for one in (password, unquote(password), *keys, *variables) if len(one) > 2}
