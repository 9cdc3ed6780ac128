"""The rows of the table: what is compared, and how far apart it is."""

from typing import NamedTuple

import numpy

#: Largest difference allowed, relative to the range of what is expected.
TOLERANCE = 1e-4


class Row(NamedTuple):
    """One line. `good` is None where something could not be fetched; `worst` is a difference, relative."""

    name: str
    what: str
    expected: str
    found: str
    good: bool | None
    worst: float = 0.0


def difference(found, expected):
    """The largest difference relative to the range of what is expected."""
    if found.shape != expected.shape:
        raise ValueError(f"expected shape {expected.shape}, found {found.shape}")
    return float(numpy.abs(found - expected).max() / max(numpy.ptp(expected), 1e-30))


def values_row(name, what, size, differences):
    """The row of a run with an input of this size: the differences by value, of which the worst is told."""
    place = max(differences, key=lambda value: (differences[value] != differences[value], differences[value]))
    worst = differences[place]
    shown = f"{differences['output']:.1e} {worst:.1e} {place}"
    return Row(name, what, " x ".join(map(str, size)), shown, worst <= TOLERANCE, worst)


def attempt(name, what, size, differences):
    """The row of `differences()`; what it throws is a failure of this row alone."""
    try:
        return values_row(name, what, size, differences())
    except Exception as error:
        return Row(name, what, " x ".join(map(str, size)), f"{type(error).__name__}: {error}"[:300], False)


def show(rows, heading=None):
    """Prints the rows as they come, under a heading for what was found; returns them all."""
    seen = []
    if heading:
        print(f"{'network':26} {'file':30} {'input or expected':21} {heading}", flush=True)
    for row in rows:
        verdict = {True: "ok", False: "FAILED", None: "skipped"}[row.good]
        print(f"{row.name:26} {row.what:30} {row.expected:21} {row.found:44} {verdict}", flush=True)
        seen.append(row)
    return seen


def summarise(rows):
    """Prints how many rows passed and failed; returns whether that is all of them and none."""
    failed = [row for row in rows if row.good is False]
    passed = sum(row.good is True for row in rows)
    skipped = sum(row.good is None for row in rows)
    worst = max((row for row in rows if row.good is True), key=lambda row: row.worst, default=None)
    if worst:
        print(f"worst difference of those that passed: {worst.worst:.1e}, {worst.name}, {worst.what}")
    print(f"{passed} passed, {len(failed)} failed" + (f", {skipped} skipped" if skipped else ""))
    return passed > 0 and not failed
