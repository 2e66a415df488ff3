"""Verbs that list and describe: `recipes`, `methods`, `models`, `checks`, `bench`. All but `checks` load no PyTorch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from inspect import cleandoc

from cyclopts import App, Group

ROLES = {
    "seeds": "image-level labels -> class score maps",
    "refine": "class score maps and seeds -> pseudo masks",
    "segmenter": "pseudo masks -> a network that predicts masks",
}


def add_commands(app: App) -> None:
    from sbnet.bench import benchmarks

    group = Group("About", sort_key=4)
    for verb in (recipes, methods, models, checks):
        app.command(verb, group=group)
    listed = "\n".join(_aligned(benchmarks().items()))
    app.command(bench, group=group, help=f"{cleandoc(bench.__doc__ or '')}\n\n{listed}")


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
    from sbnet.config.comments import heading

    if name is None:
        _print_aligned((known, heading(source.read_text(source.find(known)))[0]) for known in names())
        print("\nsbnet recipes NAME shows one; sbnet run NAME runs it")
    elif file:
        print(source.read_text(source.find(name)), end="")
    else:
        from sbnet.config.show import resolved

        print(resolved(name), end="")


def methods() -> None:
    """List the methods by role, with their papers and published figures; plug-ins included."""
    from sbnet.registry import METHODS, PACKAGE

    for role, what in ROLES.items():
        print(f"{role}: {what}\n")
        for method in METHODS.entries():
            if method.role != role:
                continue
            print(f"  {method.name:<14} {method.title}: {method.about}")
            figures = ", ".join(f"{one.miou:.1f} ({one.what}, {one.data})" for one in method.figures)
            origin = METHODS.origin(method.name)
            notes = (
                method.paper,
                f"published mIoU, %: {figures}" if figures else "",
                "" if origin.partition(".")[0] == PACKAGE else f"plug-in: {origin}",
            )
            if any(notes):
                print(f"{'':<17}{'; '.join(filter(None, notes))}")
        print()
    if METHODS.broken:
        print("plug-ins that cannot be used:\n")
        for name, reason in METHODS.broken.items():
            print(f"  {name}: {reason}")
        print()
    print("Choose one per role, in a recipe or on the command line: sbnet run RECIPE ROLE.method=NAME")


def models() -> None:
    """List network families, and backbones with the sources of their weights."""
    from sbnet.backbones.catalogue import BACKBONES
    from sbnet.registry import METHODS

    families = {
        family: (f"{method.title}: {method.about}", f"{method.role}.method={method.name}")
        for method in METHODS.entries()
        for family in method.networks
    }
    print(f"A network is named FAMILY-BACKBONE, such as {[*families][-1]}-{next(iter(BACKBONES))}.\n")
    _print_aligned(
        [("FAMILY", "WHAT IT IS", "IN A RECIPE"), *((name, *told) for name, told in families.items())]
    )
    print()
    _print_aligned(
        [("BACKBONE", "WHAT IT IS", "WEIGHTS"), *((name, *told) for name, told in BACKBONES.items())]
    )
    print("\nIn a recipe: backbone.name=NAME; for the segmenter alone: segmenter.backbone=NAME")


def checks() -> None:
    """Show versions, device, kernels, weights, cores and memory. Include the output when you ask a question."""
    from sbnet.checks import describe_machine

    _print_aligned(describe_machine().items())


def bench(*names: str) -> None:
    """Compare ops, training samples, inference and training steps with commonly used code, on this machine.

    Both sides run in turn, each in its own process; peers are installed with pip into a separate environment.
    By default all benchmarks run:
    """
    from sbnet.bench import run_benchmarks

    for table in run_benchmarks(names):
        print(table)


def _aligned(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _print_aligned(rows: Iterable[tuple[str, ...]]) -> None:
    for line in _aligned(rows):
        print(line)
