"""A verb for each step of the methods: `sbnet train-cam RUN`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App, CommandCollisionError, Group

from sbnet.cli.runs import Assignment, bring_up_to_date, run_folder

if TYPE_CHECKING:
    from sbnet.methods.base import Method
    from sbnet.steps.spec import StepSpec


def add_commands(app: App) -> None:
    """A verb for each step of a method's default settings, after all others: a name that is taken is left out. The help
    lists plug-ins that cannot be used, whose steps have no verbs.
    """
    from sbnet.registry import faults

    steps = Group("Steps of a run", sort_key=1)
    for spec in _all_steps():
        verb = spec.verb or spec.name.replace("_", "-")
        with suppress(CommandCollisionError):
            app.command(_step_verb(spec), name=verb, group=steps)
    if found := faults():
        app.help = "\n\n".join((app.help.rstrip(), "Plug-ins that cannot be used:", *found))


def _all_steps() -> list[StepSpec]:
    """The steps that any method's default settings amount to, each name once. Where several methods have a step and call
    it differently, its title names them.
    """
    from sbnet.registry import METHODS
    from sbnet.steps.settings import CrfSettings, PredictSettings
    from sbnet.steps.shared import crf_step, predict_step

    shared = [crf_step(CrfSettings(), key="crf"), predict_step(PredictSettings(), images="val")]
    found = {spec.name: spec for spec in shared}
    methods: dict[str, list[str]] = {}
    titles: dict[str, set[str]] = {}
    for method in METHODS.entries():
        for spec in _steps(method):
            found.setdefault(spec.name, spec)
            methods.setdefault(spec.name, []).append(method.name)
            titles.setdefault(spec.name, set()).add(spec.title)
    for name, differ in titles.items():
        if len(differ) > 1:
            title = found[name].title.partition(" (")[0]
            found[name] = replace(found[name], title=f"{title} ({', '.join(methods[name])})")
    return list(found.values())


def _steps(method: Method) -> list[StepSpec]:
    """None of a method that has required settings, or whose steps cannot be used (see `faults`)."""
    try:
        return method.checked_steps(method.Settings())
    except Exception:
        return []


def _step_verb(spec: StepSpec) -> Callable[..., None]:
    def verb(run: Path, /, *settings: Assignment) -> None:
        bring_up_to_date(run_folder(run), None, settings, only=spec.name)

    fields = [*type(spec.settings).model_fields, "KEY"]
    example = next((name for name in ("epochs", "scales", "steps") if name in fields), fields[0])
    verb.__doc__ = f"""{spec.title}.

    Bring this step of a run, and every step that it needs, up to date.

    Parameters
    ----------
    run
        A run folder.
    settings
        KEY=VALUE pairs that replace the run's, such as {spec.key}.{example}=VALUE.
    """
    return verb
