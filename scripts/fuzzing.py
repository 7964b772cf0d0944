"""What the fuzz scripts have in common: cases by number, atheris, and their command line.

A script hands over how a case is made and how it is checked. Case *n* of seed *s* is the same
on every machine, so the line that is printed for a failure is enough to repeat it.
"""

from __future__ import annotations

import argparse
import importlib
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
REPORT_EVERY = 10_000
"""Cases between two lines of progress."""


@dataclass(frozen=True)
class Fuzzer:
    """What one script fuzzes.

    Attributes:
        subject: What is held against each other, for the help text.
        make: Makes a case.
        check: Raises if the implementations disagree on a case.
        take: Checks bytes that a coverage-guided fuzzer chose.
        corpus: Hexadecimal lines: cases for `take` to begin with.
        instrumented: The prefix of the modules that are measured for coverage.
    """

    subject: str
    make: Callable[[random.Random], Any]
    check: Callable[[Any, random.Random], None]
    take: Callable[[bytes], None]
    corpus: Path
    instrumented: str

    def run(self, seed: int, count: int | None, seconds: float | None, first: int = 0) -> int:
        """Run cases from *first* on until *count* or *seconds* are over; return the failures."""
        start = time.monotonic()
        done = failures = 0
        while (count is None or done < count) and (
            seconds is None or time.monotonic() - start < seconds
        ):
            number = first + done
            rng = random.Random(f"{seed}:{number}")  # noqa: S311 - repeatable, not secret
            case = self.make(rng)
            try:
                self.check(case, rng)
            except Exception as exc:  # anything that leaves an engine is a finding
                failures += 1
                print(f"case {seed}:{number}: {type(exc).__name__}: {exc}\n  {case!r}", flush=True)
            done += 1
            if done % REPORT_EVERY == 0:
                print(f"{done} cases, {failures} failures", flush=True)
        print(f"{done} cases, {failures} failures, {time.monotonic() - start:.0f} s, seed {seed}")
        return failures

    def run_atheris(self, arguments: list[str]) -> None:
        """Fuzz with coverage guidance, starting from the corpus; never returns."""
        try:
            atheris: Any = importlib.import_module("atheris")
        except ImportError:
            sys.exit("atheris is not installed")
        for module in [name for name in sys.modules if name.startswith(self.instrumented)]:
            for function in _functions(module):
                atheris.instrument_func(function)
        with tempfile.TemporaryDirectory() as folder:
            for number, wire in enumerate(read_corpus(self.corpus)):
                Path(folder, str(number)).write_bytes(wire)
            atheris.Setup([sys.argv[0], folder, *arguments], self.take)
            atheris.Fuzz()

    def main(self) -> int:
        """Run the command."""
        parser = argparse.ArgumentParser(description=f"Differential fuzzing of {self.subject}.")
        parser.add_argument("--seconds", type=float, help="stop after this many seconds")
        parser.add_argument("--count", type=int, help="stop after this many cases")
        parser.add_argument("--seed", type=int, default=0, help="choose other cases")
        parser.add_argument("--first", type=int, default=0, help="begin with this case")
        parser.add_argument("--atheris", action="store_true", help="pass the rest to atheris")
        options, rest = parser.parse_known_args()
        if options.atheris:
            self.run_atheris(rest)
        if rest:
            parser.error(f"unknown arguments: {' '.join(rest)}")
        if options.count is None and options.seconds is None:
            options.count = 100_000
        failures = self.run(options.seed, options.count, options.seconds, options.first)
        return 1 if failures else 0


def read_corpus(path: Path) -> list[bytes]:
    """Return the cases of a corpus."""
    return [bytes.fromhex(line) for line in path.read_text("ascii").split()]


def _functions(module: str) -> list[FunctionType]:
    """Return the functions and methods that a module defines."""
    found: list[FunctionType] = []
    for value in vars(sys.modules[module]).values():
        members = vars(value).values() if isinstance(value, type) else (value,)
        for member in members:
            function = member.fget if isinstance(member, property) else member
            if isinstance(function, FunctionType) and function.__module__ == module:
                found.append(function)
    return found
