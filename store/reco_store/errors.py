"""Exceptions that reco raises deliberately, as one tree.

    RecoError
    +-- UsageError              2   invalid argument or request
    +-- StoreError              1
        +-- NotInstalled        2   an optional package is missing
        +-- UnknownGeneration   2   no such generation, or not ready
        +-- StoreUnreachable    3   down, password refused, TLS refused
        |   +-- StoreNotReady   3   up, but cannot answer yet: loading, or in a failover
        +-- StoreUnfit          3   evicts keys, lacks memory or rights, too old
        +-- NothingPublished    5   no live generation
        +-- ContractMismatch    5   keys or values violate the key contract
        |   +-- DataLost        5   keys of a generation are missing
        +-- VerifyFailed        5   values read back differ from the computed ones
        +-- Held                6   the hold of a rollback prevents the switch
        +-- LockHeld           75   another run holds the lock
        +-- Fenced             75   another run took over while this one was paused

The number is the exit code of a command that ends with the error. A message contains what was
found, what was expected and the next step; the facts are attributes too. ``args`` contains the
positional arguments of the constructor, so errors can be pickled. A class is named after the
condition, without the suffix Error.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "ContractMismatch",
    "DataLost",
    "Fenced",
    "Held",
    "LockHeld",
    "NotInstalled",
    "NothingPublished",
    "RecoError",
    "StoreError",
    "StoreNotReady",
    "StoreUnfit",
    "StoreUnreachable",
    "UnknownGeneration",
    "UsageError",
    "VerifyFailed",
]

MEGABYTE = 1_000_000


class RecoError(Exception):
    """Base of all errors that reco raises deliberately."""

    exit_code: ClassVar[int] = 1


class UsageError(RecoError):
    """Invalid argument or request; the message contains what is expected."""

    exit_code = 2


class StoreError(RecoError):
    """Base of all errors of the store and of access to it."""


class NotInstalled(StoreError):
    """Feature that needs a package missing from the base installation."""

    exit_code = 2

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(feature, extra)
        self.feature = feature
        self.extra = extra

    def __str__(self) -> str:
        return (
            f"{self.feature} needs packages that are not installed. "
            f"In the folder of reco's source: pip install '.[{self.extra}]'"
        )


class UnknownGeneration(StoreError):
    """Generation that does not exist, or is not ready for the request."""

    exit_code = 2

    def __init__(self, generation: str, reason: str, known: tuple[str, ...] | None = ()) -> None:
        """Create the error.

        Args:
            generation: the generation that was named.
            reason: what is wrong with it, as the end of a sentence.
            known: generations that can be named instead; None if they were not read.
        """
        super().__init__(generation, reason, known)
        self.generation = generation
        self.reason = reason
        self.known = known

    def __str__(self) -> str:
        sentence = f"generation {self.generation} {self.reason}."
        if self.known is None:
            return sentence
        return f"{sentence} Ready generations: {', '.join(self.known) or 'none'}."


class StoreUnreachable(StoreError):
    """Store that is down, refused the password, or failed the TLS check."""

    exit_code = 3

    def __init__(self, url: str, reason: str, next_step: str = "") -> None:
        """Create the error.

        Args:
            url: address of the store, with the password masked.
            reason: cause, as a clause.
            next_step: next step, as a sentence; empty for general advice.
        """
        super().__init__(url, reason, next_step)
        self.url = url
        self.reason = reason
        self.next_step = next_step

    def __str__(self) -> str:
        advice = self.next_step or "Check that the server runs and that the address is right."
        return f"cannot use the store at {self.url}: {self.reason.rstrip('.')}. {advice}"


class StoreNotReady(StoreUnreachable):
    """Server that is up but cannot answer yet; the same request may succeed a moment later."""

    def __init__(self, url: str, reason: str, next_step: str = "") -> None:
        """Create the error; by default the next step is to try again."""
        super().__init__(url, reason, next_step or "Try again when it is ready.")


class StoreUnfit(StoreError):
    """Store that answers, but cannot be published to safely."""

    exit_code = 3

    def __init__(
        self,
        reason: str,
        next_step: str,
        needed_bytes: int | None = None,
        free_bytes: int | None = None,
    ) -> None:
        super().__init__(reason, next_step, needed_bytes, free_bytes)
        self.reason = reason
        self.next_step = next_step
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes

    def __str__(self) -> str:
        memory = ""
        if self.needed_bytes is not None:
            memory = f" (needed: {self.needed_bytes / MEGABYTE:.1f} MB"
            if self.free_bytes is not None:
                memory += f", free: {self.free_bytes / MEGABYTE:.1f} MB"
            memory += ")"
        return f"{self.reason}{memory}. {self.next_step}"


class NothingPublished(StoreError):
    """Namespace without a live generation."""

    exit_code = 5

    def __init__(self, namespace: str | None, where: str = "") -> None:
        """Create the error.

        Args:
            namespace: namespace of the request; None if the store has no namespace at all.
            where: store without its password, as the end of a sentence.
        """
        super().__init__(namespace, where)
        self.namespace = namespace
        self.where = where

    def __str__(self) -> str:
        under = "" if self.namespace is None else f" under the namespace {self.namespace!r}"
        return (
            f"nothing is published{under}{self.where and ' '}{self.where}. "
            "If you published to another store, give its address. "
            "Run `batch run` first, or `batch republish` if an artifact exists."
        )


class ContractMismatch(StoreError):
    """Key, value or manifest that violates the key contract."""

    exit_code = 5

    def __init__(self, found: str, expected: str, next_step: str) -> None:
        super().__init__(found, expected, next_step)
        self.found = found
        self.expected = expected
        self.next_step = next_step

    def __str__(self) -> str:
        return f"found {self.found}, expected {self.expected}. {self.next_step}"


class DataLost(ContractMismatch):
    """Generation with missing keys, which the store lost."""

    def __init__(self, generation: str, missing: str, *, named: bool = False) -> None:
        """Create the error.

        Args:
            generation: the one that was read, live or named.
            missing: description of the missing keys, such as "its manifest".
            named: True if the reader names its generation, which `republish latest` may pass over.
        """
        super().__init__(
            f"{missing} of generation {generation} missing",
            "every key that was published: the store lost data",
            f"Run `batch republish {generation if named else 'latest'}`, which needs no training, "
            "or `batch run`.",
        )
        self.args = (generation, missing)
        self.generation = generation
        self.missing = missing

    def __str__(self) -> str:
        loss = f"{self.generation}: {self.missing} missing"
        return f"the store lost data of generation {loss}. {self.next_step}"


class VerifyFailed(StoreError):
    """Difference between values read back and computed ones; the pointer was not moved."""

    exit_code = 5

    def __init__(self, generation: str, reason: str, suffix: str | None = None) -> None:
        super().__init__(generation, reason, suffix)
        self.generation = generation
        self.reason = reason
        self.suffix = suffix

    def __str__(self) -> str:
        where = f" at {self.suffix!r}" if self.suffix is not None else ""
        return (
            f"generation {self.generation} failed its read-back{where}: {self.reason}. "
            f"Readers still see the previous generation; publish again with "
            f"`batch republish {self.generation}`."
        )


class Held(StoreError):
    """Hold of a rollback: the generation is complete in the store, but not live."""

    exit_code = 6

    def __init__(self, generation: str, until: str, reason: str, *, force: bool = False) -> None:
        """Create the error.

        Args:
            generation: generation that did not go live.
            until: end of the hold, in ISO 8601.
            reason: reason for the hold.
            force: True if publishing the generation needs ``--force``.
        """
        super().__init__(generation, until, reason)
        self.force = force
        self.generation = generation
        self.until = until
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"generation {self.generation} is staged but not live: {self.reason}; "
            f"held until {self.until}. End the hold with `batch release`, "
            f"then `batch republish {self.generation}{' --force REASON' if self.force else ''}`."
        )


class LockHeld(StoreError):
    """Lock of the namespace that another run holds."""

    exit_code = 75

    def __init__(self, holder: str, seconds_left: float) -> None:
        super().__init__(holder, seconds_left)
        self.holder = holder
        self.seconds_left = seconds_left

    def __str__(self) -> str:
        return (
            f"another run holds the lock: {self.holder}, "
            f"for {self.seconds_left:.0f} s more unless it renews. Try again later."
        )


class Fenced(StoreError):
    """Loss of the lock to another run; this run changed nothing that readers see."""

    exit_code = 75

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder

    def __str__(self) -> str:
        return (
            f"fenced: another run took over while this one was paused: {self.holder or 'unknown'}. "
            "This run switched nothing; the next run deletes its keys."
        )
