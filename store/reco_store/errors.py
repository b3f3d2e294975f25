"""Every error that reco raises on purpose, as one tree.

    RecoError
    +-- UsageError              2   the caller asked for something that cannot be
    +-- StoreError              1
        +-- NotInstalled        2   an optional package is missing
        +-- UnknownGeneration   2   no such generation, or not one to switch to
        +-- StoreUnreachable    3   down, refused the password, TLS refused
        |   +-- StoreNotReady   3   up, but cannot answer yet: loading, amid a failover
        +-- StoreUnfit          3   evicts keys, lacks memory or rights, too old
        +-- NothingPublished    5   no pointer yet
        +-- ContractMismatch    5   keys or values under another contract
        |   +-- DataLost        5   keys of the live generation are gone
        +-- VerifyFailed        5   what was read back is not what was computed
        +-- Held                6   a rollback put a hold on switching
        +-- LockHeld           75   another run is at work
        +-- Fenced             75   another run took over while this one was paused

The number is the exit code of the command that ends with the error. A message says what
was found, what was expected and what to do next; the facts are attributes too. Arguments
are kept in ``args`` as they were given, so that an error survives pickling. A class is
named for the condition, not for being an error.
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
    """Base of every error that reco raises on purpose."""

    exit_code: ClassVar[int] = 1


class UsageError(RecoError):
    """The caller asked for something that cannot be; the message says what can."""

    exit_code = 2


class StoreError(RecoError):
    """Base of what can go wrong between a program and the store."""


class NotInstalled(StoreError):
    """A feature needs a package that the base installation does not bring."""

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
    """No generation of that name is there to be used."""

    exit_code = 2

    def __init__(self, generation: str, reason: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(generation, reason, known)
        self.generation = generation
        self.reason = reason
        self.known = known

    def __str__(self) -> str:
        choice = ", ".join(self.known) if self.known else "none"
        return f"generation {self.generation} {self.reason}. Ready to be used: {choice}."


class StoreUnreachable(StoreError):
    """The store is down, refused the password, or failed the TLS check."""

    exit_code = 3

    def __init__(self, url: str, reason: str, next_step: str = "") -> None:
        """Keep which store and why.

        Args:
            url: address with the password already masked.
            reason: the cause, as a clause.
            next_step: the next step, as a sentence; empty: the general advice.
        """
        super().__init__(url, reason, next_step)
        self.url = url
        self.reason = reason
        self.next_step = next_step

    def __str__(self) -> str:
        advice = self.next_step or "Check that the server runs and that the address is right."
        return f"cannot use the store at {self.url}: {self.reason.rstrip('.')}. {advice}"


class StoreNotReady(StoreUnreachable):
    """The server is up and cannot answer yet; the same request may succeed in a moment."""

    def __init__(self, url: str, reason: str, next_step: str = "") -> None:
        """Keep which store and why; by default the advice is to try again."""
        super().__init__(url, reason, next_step or "Try again when it is ready.")


class StoreUnfit(StoreError):
    """The store answers, but nothing can be published there safely."""

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
    """The namespace has no live generation."""

    exit_code = 5

    def __init__(self, namespace: str | None, where: str = "") -> None:
        """Keep what was looked for, and where.

        Args:
            namespace: the namespace; None if nothing is published under any.
            where: the store without its password, as the end of a sentence.
        """
        super().__init__(namespace, where)
        self.namespace = namespace
        self.where = where

    def __str__(self) -> str:
        under = "" if self.namespace is None else f" under the namespace {self.namespace!r}"
        return (
            f"nothing is published{under}{self.where and ' '}{self.where}. "
            "If another store was published to, name that one. "
            "Run `batch run` first, or `batch republish` if an artifact exists."
        )


class ContractMismatch(StoreError):
    """Something in the store, or on its way there, is not what the key contract says."""

    exit_code = 5

    def __init__(self, found: str, expected: str, next_step: str) -> None:
        super().__init__(found, expected, next_step)
        self.found = found
        self.expected = expected
        self.next_step = next_step

    def __str__(self) -> str:
        return f"found {self.found}, expected {self.expected}. {self.next_step}"


class DataLost(ContractMismatch):
    """The pointer names a generation whose keys are not all there: the store lost them."""

    def __init__(self, generation: str, missing: str) -> None:
        """Name the missing keys.

        Args:
            generation: the live generation.
            missing: the missing keys in words, such as "its manifest".
        """
        super().__init__(
            f"{missing} of the live generation {generation} missing",
            "every key that was published: the store lost data",
            "Run `batch republish latest`, which needs no training, or `batch run`.",
        )
        self.args = (generation, missing)
        self.generation = generation
        self.missing = missing

    def __str__(self) -> str:
        what = f"{self.generation}: {self.missing} missing"
        return f"the store lost data of the live generation {what}. {self.next_step}"


class VerifyFailed(StoreError):
    """What was read back differs from what was computed; the pointer was not moved."""

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
            f"Readers still see what they saw before; publish again with "
            f"`batch republish {self.generation}`."
        )


class Held(StoreError):
    """A rollback put a hold on: the generation is complete in the store, but not live."""

    exit_code = 6

    def __init__(self, generation: str, until: str, reason: str, *, force: bool = False) -> None:
        """Say what is held back.

        Args:
            generation: the generation that was not switched to.
            until: when the hold ends by itself, ISO 8601.
            reason: what the hold says about its origin.
            force: whether it takes ``--force`` to publish the generation.
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
    """Another run holds the lock of this namespace."""

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
    """This run lost its lock to another one; it changed nothing that readers see."""

    exit_code = 75

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder

    def __str__(self) -> str:
        return (
            f"fenced: another run took over while this one was paused: {self.holder or 'unknown'}. "
            "This run switched nothing; its keys are collected by the next run."
        )
