"""Verbs that tell: `recipes`, `models`, `checks`, `bench`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Group, Parameter

from sbnet.bench import NAMES, run_benchmarks

Benchmarks = Annotated[
    str,
    Parameter(
        help=f"{', '.join(NAMES[:-1])} or {NAMES[-1]}; all by default. cam_inference alone takes four minutes on "
        "two cores."
    ),
]


def add_commands(app: App) -> None:
    group = Group("About", sort_key=4)
    for verb in (recipes, models, checks, bench):
        app.command(verb, group=group)


def recipes(name: str | None = None, /, *, file: bool = False) -> None:
    """List the recipes, or show one.

    A recipe of your own is a file with a line `base: voc12-lite` and what differs:

      sbnet recipes voc12-lite
      sbnet run mine.yaml

    Parameters
    ----------
    name
        The recipe, file or run to show: its evidence and every setting, with a * at what it sets itself.
    file
        Show its file as it stands: what differs from its base, or from the defaults, alone.
    """
    from sbnet.config import names, source
    from sbnet.config.comments import heading

    if name is not None and not file:
        from sbnet.config.show import resolved

        print(resolved(name), end="")
        return
    if name is not None:
        print(source.read_text(source.find(name)), end="")
        return
    for known in names():
        print(f"{known:<18} {heading(source.read_text(source.find(known)))[0]}")
    print("\nsbnet recipes NAME shows one; sbnet run NAME runs it")


def models() -> None:
    """List the families of networks and the backbones, with where their weights come from."""
    from sbnet.checks import describe_models

    print("A network is named FAMILY-BACKBONE, such as deeplabv2-lite0 or sbnet-timm:resnet50.")
    for table in describe_models():
        first, second = (max(len(row[column]) for row in table) for column in (0, 1))
        print()
        for name, what, where in table:
            print(f"{name:<{first}}  {what:<{second}}  {where}")
    print("\nA recipe's backbone: model.backbone=lite2; the segmenter's: train_segmenter.backbone=resnet101")


def checks() -> None:
    """Show versions, device, kernels, weights, cores and memory: what to send along with a question."""
    from sbnet.checks import describe_machine

    for name, value in describe_machine().items():
        print(f"{name:<20} {value}")


def bench(*names: Benchmarks) -> None:
    """Compare ops, training samples, CAM inference and training step with what the field uses, on this machine.

    Each side runs in a process of its own, in turn; peers are installed with pip into an environment of their own.
    """
    for table in run_benchmarks(names):
        print(table)
