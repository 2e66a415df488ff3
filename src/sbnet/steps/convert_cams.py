"""Folders of CAM files, ours and the reference implementations': from one form to the other.

Shapes: K classes in a photo, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from sbnet.data.io.files import read_scores, write_label, write_scores
from sbnet.data.io.image import photo_size, read_photo
from sbnet.data.io.photo_notes import tell_of_photos
from sbnet.work.parallel import map_unordered
from sbnet.engine.crf import PhotoCRF
from sbnet.work.progress import work_through
from sbnet.engine.runtime import Runtime
from sbnet.work.parallel import cpu_count
from sbnet.errors import SBNetError, check_folder
from sbnet.compat.cam_files import read_cam, read_marginals, write_cam, write_marginals
from sbnet.ops import confident_labels, with_background_score


def cams_to_scores(folder: Path, out: Path) -> int:
    """NAME.npy of SEAM, SBNet, PSA or IRN -> `out`/NAME.npz; returns how many. Raises SBNetError for a foreign file."""

    def convert(path: Path) -> None:
        found = read_cam(path)
        write_scores(out / f"{path.stem}.npz", found.scores, found.classes)

    return _each(folder, ".npy", convert)


def scores_to_cams(
    folder: Path,
    out: Path,
    *,
    photos: Sequence[Path] = (),
    alphas: Sequence[float] = (),
    white: float = 0,
) -> int:
    """NAME.npz of ours -> `out`/NAME.npy as SEAM, SBNet and PSA read them; returns how many.

    For each of `alphas` also the CRF's marginals at that background power, which their AffinityNet learns from, into
    `out`_ALPHA, named as SEAM's --out_crf names them; `photos`: the photos' files, needed for these; `white`: see
    `read_photo`.
    Raises SBNetError for photos that are missing, one that alone needs more memory than there is, and alphas that
    would share a folder.
    """
    if alphas and not photos:
        raise SBNetError("the CRF works on the photos: give their folder (--photos)")
    folders = [out.with_name(f"{out.name}_{alpha:.1f}") for alpha in alphas]
    for index, one in enumerate(folders):
        if one in folders[:index]:
            raise SBNetError(
                f"{one}: the folder of both {alphas[folders.index(one)]:g} and {alphas[index]:g}, as names have one "
                "decimal; write them one after the other, into folders of their own (--out)"
            )
    tell_of_photos(photos if alphas else (), white=white, setting="--white {}")
    crf = PhotoCRF(Runtime())
    by_name = {path.stem: path for path in photos}

    def convert(path: Path) -> None:
        scores, classes = read_scores(path)
        if alphas:
            if path.stem not in by_name:
                raise SBNetError(f"{path}: its photo '{path.stem}' is not among the photos given; add it")
            photo = by_name[path.stem]
            with crf.room(photo, photo_size(photo), labels=len(classes) + 1, sets=len(alphas)) as marginals:
                foreground = torch.from_numpy(scores)
                sets = torch.stack([with_background_score(foreground, alpha=alpha) for alpha in alphas])
                for target, one in zip(
                    folders, marginals(read_photo(photo, white=white), sets.numpy()), strict=True
                ):
                    write_marginals(target / f"{path.stem}.npy", one, classes)
        write_cam(out / f"{path.stem}.npy", scores, classes)

    return _each(folder, ".npz", convert)


def marginals_to_labels(low: Path, high: Path, out: Path) -> int:
    """Pairs of CRF marginals at a low and a high background power -> confident labels `out`/NAME.png; how many."""

    def convert(path: Path) -> None:
        first, second = read_marginals(path), read_marginals(high / path.name)
        if (
            first.classes.tolist() != second.classes.tolist()
            or first.marginals.shape != second.marginals.shape
        ):
            raise SBNetError(
                f"{path} and {high / path.name}: of other classes or sizes; make both from the same CAMs"
            )
        write_label(
            out / f"{path.stem}.png", confident_labels(first.marginals, second.marginals, first.classes)
        )

    return _each(low, ".npy", convert)


def _each(folder: Path, suffix: str, convert: Callable[[Path], None]) -> int:
    if not folder.is_dir():
        raise SBNetError(f"{folder}: there is no such folder; check the path")
    check_folder(folder)
    files = sorted(folder.glob(f"*{suffix}"))
    if not files:
        raise SBNetError(f"{folder}: there is no NAME{suffix} in it; check the folder and --to")
    work_through("convert", map_unordered(convert, files, workers=cpu_count()), len(files))
    return len(files)
