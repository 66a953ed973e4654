"""Everything atlasmoe raises on purpose: one hierarchy, rooted in `AtlasMoEError`.

A message names the chart, expression or field at fault, the offending value, a witness point where there is one, and a
remedy. The command line prints the message alone and exits with `exit_code`: 1 when a claim does not hold or an ε is
out of reach, 2 when the input is at fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


def did_you_mean(name: object, known: Iterable[str], before: str = "; ", after: str = "") -> str:
    """`did you mean 'x'?` between `before` and `after`, if a known name is near; else the empty text."""
    import difflib

    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f"{before}did you mean {near[0]!r}?{after}" if near else ""


class Severity(StrEnum):
    """How much a finding matters: `compile` refuses on ERROR and carries a WARNING into the ledger."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One thing wrong with a task: where it is, what it is, a point that shows it, and what to do about it."""

    severity: Severity
    where: str
    """The chart, expression or field at fault, e.g. `chart "north": inverse[2]`."""
    problem: str
    remedy: str
    witness: tuple[float, ...] | None = None
    """A point at which the problem shows, in the coordinates that `problem` speaks of; None if it is no pointwise problem."""
    text: str | None = None
    """The expression as the user wrote it, if the problem is at one column of it."""
    column: int | None = None
    """That column, from 1."""
    coordinates: tuple[str, ...] = ()
    """What the numbers of the witness are called; () where they have no names."""

    def __str__(self) -> str:
        at = "" if self.witness is None else f" at ({', '.join(self._numbers(self.witness))})"
        return f"{self.where}: {self.problem}{at}; {self.remedy}"

    def _numbers(self, witness: tuple[float, ...]) -> list[str]:
        shown = [f"{v:.6g}" for v in witness]
        if len(self.coordinates) != len(shown):
            return shown
        return [f"{name} = {value}" for name, value in zip(self.coordinates, shown, strict=True)]


OPTION = re.compile(r"\{([a-z_]+)=([^{}]*)\}")
"""An option of `compile` in a remedy, such as {max_width=4096}."""


SWITCHES = {"true": "True", "false": "False"}
"""Values of options that are words on the command line and no texts in Python."""


def written(remedy: str, shell: bool = False) -> str:
    """A remedy with its options as its reader writes them: max_width=4096 in Python, --max-width 4096 on the command line."""

    def option(found: re.Match[str]) -> str:
        name, value = found.groups()
        if shell:
            return f"--{name.replace('_', '-')}" + ("" if value == "True" else f" {value}")
        if value in SWITCHES:
            return f"{name}={SWITCHES[value]}"
        return f"{name}={value}" if _is_literal(value) else f'{name}="{value}"'

    return OPTION.sub(option, remedy)


def _is_literal(value: str) -> bool:
    """Whether Python reads it as a number or a truth value."""
    try:
        float(value)
    except ValueError:
        return value in ("True", "False")
    return True


class AtlasMoEError(Exception):
    """Root of every error atlasmoe raises on purpose."""

    exit_code = 2

    def on_the_command_line(self) -> str:
        """The message with options as the command line has them."""
        return str(self)


class SpecError(AtlasMoEError):
    """A specification cannot be read. Carries every finding, not only the first."""

    def __init__(self, findings: Sequence[Finding], source: str = "spec") -> None:
        self.findings = tuple(findings)
        self.source = source
        super().__init__("\n".join(f"{source}: {finding}" for finding in self.findings))


class LintError(AtlasMoEError):
    """A task breaks an assumption of the theorems; `findings` holds all of them."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


class InvalidArgument(AtlasMoEError, ValueError):
    """An argument of a public function is out of its domain (wrong shape, non-finite, unknown name). Options in braces, such as
    {depth=L}, are written as their reader writes them.
    """

    def __init__(self, message: str = "") -> None:
        self.message = message
        super().__init__(written(message))

    def on_the_command_line(self) -> str:
        return written(self.message, shell=True)


class EpsilonNotReached(AtlasMoEError):
    """No width within the limit meets the error budget; `reached` is the best error and `width` the width that gave it."""

    exit_code = 1

    def __init__(self, what: str, *, budget: float, reached: float, width: int, remedy: str) -> None:
        self.what, self.budget, self.reached, self.width, self.remedy = what, budget, reached, width, remedy
        super().__init__(self._message(shell=False))

    def on_the_command_line(self) -> str:
        return self._message(shell=True)

    def _message(self, shell: bool) -> str:
        reached = f"error {self.reached:.3g} at width {self.width}, but the budget is {self.budget:.3g}"
        return f"{self.what}: {reached}; {written(self.remedy, shell)}"


class NotProved(AtlasMoEError):
    """A model was compiled, but no proof of ε came about; `certificate` says what is known, and `rounds` how many models were built."""

    exit_code = 1

    def __init__(self, why: str, certificate: object, rounds: int) -> None:
        self.why, self.certificate, self.rounds = why, certificate, rounds
        super().__init__(f"ε is not proved after {rounds} model{'s'[: rounds != 1]}: {why}")


class FolderError(AtlasMoEError):
    """A model folder is missing, incomplete, of another schema version, or does not match its hashes."""


class ProofKept(FolderError):
    """A folder holds a proof that says more than the one that was to be written there; it stays."""


class MarginTooSmall(AtlasMoEError):
    """A block reads a computed value that may fall on the wrong side of an interface at which its pieces jump (B9)."""

    exit_code = 1

    def __init__(self, block: str, reads: str, at: float, jump: float, margin: float, error: float) -> None:
        self.block, self.margin, self.error = block, margin, error
        remedy = (
            "allow a smaller epsilon, or move the interface away from these values"
            if margin > 0
            else f"let the pieces agree there, or keep {reads!r} away from it"
        )
        super().__init__(
            f'block "{block}": what it reads as {reads!r} errs by up to {error:.3g}, but its margin at the interface {reads} = {at:.6g}, '
            f"where its pieces jump by {jump:.3g}, is only {margin:.3g}; {remedy}"
        )


class PrecisionWarning(UserWarning):
    """A module was rounded to a dtype in which less is known of it than of the model."""
