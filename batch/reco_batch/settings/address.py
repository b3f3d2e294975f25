"""Recognition and masking of addresses that are given in place of a folder."""

import re
from typing import Final

_ADDRESS: Final = re.compile(r"([a-z][a-z0-9+.-]*:)?[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_LOGIN: Final = re.compile(r"://.*@", re.DOTALL)
_SECRET: Final = re.compile(
    r"(?i)((?:password|passwd|pwd|secret|token|key|signature|sig|credential)[a-z_-]*=)[^&;\s]*"
)


def is_address(text: str) -> bool:
    """Return whether a text is a URL, such as postgresql://... or s3://..."""
    return _ADDRESS.match(text) is not None


def mask_address(text: str) -> str:
    """Return an address without login, password and keys; any other text unchanged."""
    if not is_address(text):
        return text
    return _SECRET.sub(r"\1***", _LOGIN.sub("://***@", text))
