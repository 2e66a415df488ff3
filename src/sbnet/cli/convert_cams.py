"""Folders of CAM files, ours and other implementations': from one form to the other.

Shapes: K classes in an image, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from sbnet.compat.cams import read_cam, read_marginals, write_cam, write_marginals
from sbnet.data.io.files import read_scores, write_label, write_scores
from sbnet.data.io.image import photo_size, read_photo
from sbnet.data.io.photo_notes import tell_of_photos
from sbnet.engine.crf import PhotoCRF
from sbnet.engine.runtime import Runtime
from sbnet.errors import SBNetError, check_folder
from sbnet.ops import confident_labels, with_background_score
from sbnet.work.parallel import cpu_count, map_unordered
from sbnet.work.progress import work_through


def cams_to_scores(folder: Path, out: Path) -> int:
    """NAME.npy of SEAM, SBNet, PSA or IRN -> `out`/NAME.npz; returns their number."""

    def convert(path: Path) -> None:
        found = read_cam(path)
        write_scores(out / f"{path.stem}.npz", found.scores, found.classes)

    return _each(folder, ".npy", convert)


def scores_to_cams(folder: Path, out: Path) -> int:
    """Our NAME.npz -> `out`/NAME.npy as SEAM, SBNet and PSA read them; returns their number."""

    def convert(path: Path) -> None:
        write_cam(out / f"{path.stem}.npy", *read_scores(path))

    return _each(folder, ".npz", convert)


def scores_to_marginals(
    folder: Path, out: Path, *, images: Sequence[Path], alphas: Sequence[float], white_level: float = 0
) -> int:
    """CRF marginals of our NAME.npz, from which PSA's and SEAM's AffinityNet learn; returns the number of images.

    For each background power in `alphas`, NAME.npy in `out`_ALPHA, named as SEAM's --out_crf names it. white_level:
    see `read_photo`. Raises SBNetError for missing images, one that needs more memory than there is, and alphas that
    would share a folder.
    """
    folders = [out.with_name(f"{out.name}_{alpha:.1f}") for alpha in alphas]
    for index, one in enumerate(folders):
        if one in folders[:index]:
            raise SBNetError(
                f"{one}: the folder of both {alphas[folders.index(one)]:g} and {alphas[index]:g}, as the names have "
                "one decimal; write them in two calls, with an --out of their own"
            )
    tell_of_photos(images, white=white_level, setting="--white-level {}")
    crf = PhotoCRF(Runtime())
    by_name = {path.stem: path for path in images}

    def convert(path: Path) -> None:
        scores, classes = read_scores(path)
        if path.stem not in by_name:
            raise SBNetError(f"{path}: its image '{path.stem}' is not among those of --images; add it")
        image = by_name[path.stem]
        with crf.room(image, photo_size(image), labels=len(classes) + 1, sets=len(alphas)) as marginals:
            foreground = torch.from_numpy(scores)
            sets = torch.stack([with_background_score(foreground, alpha=alpha) for alpha in alphas])
            made = marginals(read_photo(image, white=white_level), sets.numpy())
            for target, one in zip(folders, made, strict=True):
                write_marginals(target / f"{path.stem}.npy", one, classes)

    return _each(folder, ".npz", convert)


def marginals_to_seeds(low: Path, high: Path, out: Path) -> int:
    """Pairs of CRF marginals at a low and a high background power -> seeds `out`/NAME.png; returns their number."""

    def convert(path: Path) -> None:
        first, second = read_marginals(path), read_marginals(high / path.name)
        alike = first.classes.tolist() == second.classes.tolist()
        if not alike or first.marginals.shape != second.marginals.shape:
            raise SBNetError(
                f"{path} and {high / path.name}: different classes or sizes; make both from the same CAMs"
            )
        seeds = confident_labels(first.marginals, second.marginals, first.classes)
        write_label(out / f"{path.stem}.png", seeds)

    return _each(low, ".npy", convert)


def _each(folder: Path, suffix: str, convert: Callable[[Path], None]) -> int:
    if not folder.is_dir():
        raise SBNetError(f"{folder}: no such folder; check the path")
    check_folder(folder)
    files = sorted(folder.glob(f"*{suffix}"))
    if not files:
        raise SBNetError(f"{folder}: contains no NAME{suffix}; check the folder and --to")
    work_through("convert", map_unordered(convert, files, workers=cpu_count()), len(files))
    return len(files)
