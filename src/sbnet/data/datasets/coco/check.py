"""A folder in COCO's own layout: what is there, and what a run would refuse."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from sbnet.data.datasets.coco.folder import PAGE, WHOLE, find_list, instance_files
from sbnet.data.datasets.coco.instances import read_instances
from sbnet.data.datasets.coco.masks import draw_for
from sbnet.data.datasets.findings import Findings
from sbnet.errors import SBNetError


def check_coco(root: str | Path) -> Findings:
    """Reads every instances file of `root`, looks for the images, holds their sizes to the file's, and draws every
    mask, writing none.
    """
    found, lacking = Findings(), dict(WHOLE)
    for name in instance_files(Path(root)):
        try:
            path, photos = find_list(root, name)
            file = read_instances(path)
        except SBNetError as error:
            found.problems.append(str(error))
            continue
        found.each(f"check {path.name}", partial(draw_for, photos, where=path), file.pictures)
        whole = lacking.pop(name, len(file.pictures))
        of = "" if whole == len(file.pictures) else f" (COCO 2014 has {whole})"
        found.add(
            f"list {name}",
            f"{len(file.pictures)} images with an instance{of}, {file.without} without; "
            f"{sum(len(one.instances) for one in file.pictures)} instances of {len(file.classes) - 1} classes",
        )
    for name, whole in lacking.items():
        found.add(f"list {name}", f"missing (COCO 2014 has {whole})")
    if lacking or found.problems:
        found.sources[PAGE] = ["COCO"]
    return found
