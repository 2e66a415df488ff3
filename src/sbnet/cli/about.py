"""Verbs that list and describe: `recipes`, `methods`, `models`, `checks`, `bench`. All but `checks` load no PyTorch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from inspect import cleandoc
from typing import TYPE_CHECKING

from cyclopts import App, Group

if TYPE_CHECKING:
    from sbnet.methods.base import Method


def add_commands(app: App, named: str) -> None:
    """named: the verb that is asked for; the benchmarks are listed in the help of this one alone."""
    group = Group("About", sort_key=4)
    for verb in (recipes, methods, models, checks):
        app.command(verb, group=group)
    text = cleandoc(bench.__doc__ or "")
    if named == "bench":
        from sbnet.bench import benchmarks

        text += "\n\n" + "\n".join(aligned(benchmarks().items()))
    app.command(bench, group=group, help=text)


def recipes(name: str | None = None, /, *, file: bool = False) -> None:
    """List the recipes, or show one.

    A recipe of your own is a file with a line `base: voc12-lite` and what differs:

      sbnet recipes voc12-lite
      sbnet run mine.yaml

    Parameters
    ----------
    name
        The recipe, file or run to show: its evidence and every setting; * marks those that it sets itself.
    file
        Show the file itself: only what differs from its base, or from the defaults.
    """
    from sbnet.config import names, source
    from sbnet.config.yaml_file import heading, read_text

    if name is None:
        _print_rows((known, heading(read_text(source.find(known)))[0]) for known in names())
        print("\nsbnet recipes NAME shows one; sbnet run NAME runs it")
    elif file:
        print(read_text(source.find(name)), end="")
    else:
        from sbnet.config.show import resolved

        print(resolved(name), end="")


def methods() -> None:
    """List the methods by role, with their papers and published figures; plug-ins included."""
    from sbnet.registry import METHODS, ROLES, faults

    for role, what in ROLES.items():
        print(f"{role}: {what}\n")
        for method in METHODS.entries():
            if method.role == role and not method.fault():
                print(f"  {method.name:<14} {method.title}: {method.about}")
                if notes := "; ".join(_notes(method)):
                    print(f"{'':<17}{notes}")
        print()
    if found := faults():
        print("plug-ins that cannot be used:\n")
        print("\n".join(f"  {fault}" for fault in found), end="\n\n")
    print("Choose one per role, in a recipe or on the command line: sbnet run RECIPE ROLE.method=NAME")


def _notes(method: Method) -> Iterator[str]:
    """Paper, figures, and the plug-in that it is from."""
    from sbnet.registry import METHODS, PACKAGE

    if method.paper:
        yield method.paper
    if method.figures:
        figures = (f"{one.miou:.1f} ({one.what}, {one.data})" for one in method.figures)
        yield f"published mIoU, %: {', '.join(figures)}"
    origin = METHODS.origin(method.name)
    if origin.partition(".")[0] != PACKAGE:
        yield f"plug-in: {origin}"


def models() -> None:
    """List network families, and backbones with the sources of their weights."""
    from sbnet.backbones.settings import BACKBONES
    from sbnet.registry import METHODS

    families = [
        (family, f"{method.title}: {method.about}", f"{method.role}.method={method.name}")
        for method in METHODS.entries()
        for family in method.networks
    ]
    print(f"A network is named FAMILY-BACKBONE, such as {families[-1][0]}-{next(iter(BACKBONES))}.\n")
    _print_rows([("FAMILY", "WHAT IT IS", "IN A RECIPE"), *families])
    print()
    backbones = ((name, *told) for name, told in BACKBONES.items())
    _print_rows([("BACKBONE", "WHAT IT IS", "WEIGHTS"), *backbones])
    print("\nIn a recipe: backbone.name=NAME; for the segmenter alone: segmenter.backbone=NAME")


def checks() -> None:
    """Show versions, device, kernels, weights, cores and memory. Include the output when you ask a question."""
    from sbnet.checks import describe_machine

    _print_rows(describe_machine().items())


def bench(*names: str) -> None:
    """Compare ops, training samples, inference and training steps with commonly used code, on this machine.

    Both sides run in turn, each in its own process; peers are installed with pip into a separate environment.
    By default all benchmarks run:
    """
    from sbnet.bench import run_benchmarks

    for table in run_benchmarks(names):
        print(table)


def aligned(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Lines, each column as wide as its longest cell."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return ["  ".join(row).rstrip() for row in cells]


def _print_rows(rows: Iterable[tuple[str, ...]]) -> None:
    print("\n".join(aligned(rows)))
