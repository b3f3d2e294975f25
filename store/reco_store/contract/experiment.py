"""Experiment that splits users between namespaces to compare two recommenders.

    {"name": text, "arms": [[namespace, share], ...], "began": seconds since 1970, or absent}

A user's arm depends only on the experiment's name and the user's id: the first eight hexadecimal
digits of SHA-256 over ``<name>:<userId>`` are a number below 2^32, and the arms divide that range
in order, in proportion to their shares. Another name gives an independent split.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, NamedTuple

from reco_store.contract.arguments import id_text
from reco_store.contract.keys import Keys
from reco_store.errors import ContractMismatch, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reco_store.contract.arguments import Id

__all__ = ["Experiment", "checked_experiment"]


class Experiment(NamedTuple):
    """Split of all users between the namespaces of an experiment."""

    name: str
    arms: tuple[tuple[str, float], ...]  # namespace and share, in order
    began: int | None = None  # seconds since 1970; None from an earlier version

    def assign(self, user_id: Id) -> str:
        """Return the namespace that serves a user.

        Raises:
            UsageError: the id is neither a text nor an integer.
        """
        user_id = id_text(user_id, "user")
        drawn = hashlib.sha256(f"{self.name}:{user_id}".encode("utf-8", "surrogateescape"))
        place = int(drawn.hexdigest()[:8], 16) / 2**32 * math.fsum(share for _, share in self.arms)
        for namespace, share in self.arms:
            place -= share
            if place < 0:
                return namespace
        return self.arms[-1][0]

    @property
    def parts(self) -> dict[str, float]:
        """Fraction of all users that each namespace serves; the fractions add up to 1."""
        total = math.fsum(share for _, share in self.arms)
        return {namespace: share / total for namespace, share in self.arms}

    def dump(self) -> str:
        """Return the experiment as JSON."""
        fields: dict[str, object] = {"name": self.name, "arms": self.arms}
        if self.began is not None:
            fields["began"] = self.began
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def load(cls, value: bytes) -> Experiment:
        """Return the experiment that a stored value describes.

        Raises:
            ContractMismatch: the value is damaged.
        """
        try:
            fields = json.loads(value)
            arms = tuple((str(namespace), float(share)) for namespace, share in fields["arms"])
            began = fields.get("began")
            found = checked_experiment(str(fields["name"]), arms)
            return found._replace(began=None if began is None else int(began))
        except (ValueError, KeyError, TypeError, UsageError) as error:
            raise ContractMismatch(
                f"the experiment {value[:60]!r}",
                "a name and the shares of namespaces",
                "Begin it again with `batch experiment`, or end it with `batch experiment --end`.",
            ) from error


def checked_experiment(name: str, arms: Sequence[tuple[str, float]]) -> Experiment:
    """Return an experiment whose name, namespaces and shares are valid.

    Raises:
        UsageError: the name is empty, there are fewer than two different namespaces, or a share is
            not above 0.
    """
    names = [Keys(namespace).namespace for namespace, _ in arms]
    if not name.strip() or len(names) < 2 or len(set(names)) < len(names):
        has = f"is of {', '.join(names)}" if names else "has no namespaces"
        raise UsageError(
            f"experiment {name!r} {has}; expected a name and two namespaces or more, each once, "
            "such as reco=90 other=10"
        )
    for namespace, share in arms:
        if not (math.isfinite(share) and share > 0):
            raise UsageError(f"the share {share:g} of {namespace}: expected a number above 0")
    return Experiment(name, tuple(arms))
