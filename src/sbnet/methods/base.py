"""What a method is: settings, steps, networks. The rest of the package knows methods through this class alone.

A method's folder imports PyTorch only in the modules that its steps name, so that recipes are checked at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from sbnet.backbones.settings import BackboneSettings
from sbnet.errors import SBNetError
from sbnet.registry import METHODS, Role
from sbnet.settings import Settings
from sbnet.steps.spec import StepSpec, check_steps

__all__ = ["METHODS", "Figure", "Method", "Role", "register"]

register = METHODS.register


@dataclass(frozen=True)
class Figure:
    """A published result: mIoU in percent of `what` (`CAM`, `pseudo masks`, `segmenter`) on a split of a data set."""

    what: str
    data: str
    miou: float


class Method(ABC):
    """A published method in one role of a recipe.

    name: in recipes. title: in tables. paper: authors, venue, year. figures: published results.
    Settings: the recipe's section. networks: family name, as in `models.build("FAMILY-BACKBONE")`, -> `module:class`.
    weights: the setting that names the backbone's first weights.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    role: ClassVar[Role]
    about: ClassVar[str]
    paper: ClassVar[str] = ""
    figures: ClassVar[Sequence[Figure]] = ()
    Settings: ClassVar[type[Settings]]
    networks: ClassVar[Mapping[str, str]] = {}
    weights: ClassVar[str] = "backbone.weights"

    @abstractmethod
    def steps(self, settings: Any) -> list[StepSpec]:
        """The steps that these settings amount to, in order; they follow those of the roles before."""

    def checked_steps(self, settings: Any) -> list[StepSpec]:
        """`steps`, with their settings' keys in the recipe. Raises SBNetError for steps that cannot be."""
        try:
            specs = list(self.steps(settings))
            check_steps(specs)
            return [replace(spec, key=f"{self.role}.{spec.key}".rstrip(".")) for spec in specs]
        except Exception as error:  # a plug-in's method may raise anything
            fault = error if isinstance(error, SBNetError) else f"{type(error).__name__}: {error}"
            raise SBNetError(
                f"method '{self.name}' ({type(self).__module__}): its steps cannot be used: {fault}"
            ) from error

    def fault(self) -> str:
        """Why the steps of its default settings cannot be used; '' where they can, or where settings are required."""
        if any(field.is_required() for field in self.Settings.model_fields.values()):
            return ""
        try:
            self.checked_steps(self.Settings())
        except SBNetError as error:
            return str(error)
        except Exception as error:  # so may a plug-in's settings
            return (
                f"method '{self.name}': its default settings cannot be made ({type(error).__name__}: {error})"
            )
        return ""

    def backbone(self, settings: Any, backbone: BackboneSettings) -> BackboneSettings:
        """The backbone that its steps use; by default the recipe's."""
        return backbone

    def reference(self, settings: Any) -> Any:
        """The settings that the published code amounts to, quirks included (`reference: true` of a recipe)."""
        return settings

    def check(self, settings: Any, recipe: Any) -> None:
        """Raises SBNetError, before anything runs, for what the rest of the recipe rules out. May load PyTorch. That the
        backbone has what a network reads is checked for every method, by the network's `check_backbone`.
        """
        return None

    def background_threshold(self, settings: Any) -> float | None:
        """The score below which these settings call a pixel background: where the report marks CAM curves."""
        return None
