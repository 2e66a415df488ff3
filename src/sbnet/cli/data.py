"""The verbs `sbnet data ...`: fetch and check datasets, make VOC's lists, pack masks for its server, convert COCO."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Group, Parameter

from sbnet.errors import SBNetError

if TYPE_CHECKING:
    from sbnet.data.datasets.findings import Findings


def add_commands(app: App) -> None:
    verbs = App(
        name="data",
        help="Fetch and check datasets, make VOC's lists, pack masks for its test server, convert COCO.",
        help_format="plaintext",
        group=Group("Datasets", sort_key=3),
    )
    for verb in (check, make_lists, package, fetch, from_coco):
        verbs.command(verb)
    app.command(verbs)


def check(
    root: Path,
    /,
    *,
    labels: Path | None = None,
    classes: Path | None = None,
    white_level: float = 0,
    sbd: Path | None = None,
    show_all: Annotated[bool, Parameter(name="--all")] = False,
) -> int:
    """Check a dataset: images, lists, labels, and what is missing. Changes nothing.

    Reads every image's header (16-bit images whole) and every mask, and compares the classes in annotations and masks.
    Exits with status 2 if there are problems: missing or broken images, unusable masks, lines of a label file that a
    run would refuse, classes without images, a train list that overlaps val.
    In COCO's layout it reads every instances file, checks image sizes, and draws every mask.

      sbnet data check VOC2012
      sbnet data check FOLDER --labels labels.txt --classes classes.txt
      sbnet data check COCO

    Parameters
    ----------
    root
        The folder that holds JPEGImages, or COCO's annotations.
    labels
        A label file, as data.labels of a run; by default classes come from masks, else from annotations.
    classes
        A file with one class name per line, as data.classes; by default classes.txt in ROOT, else VOC's.
    white_level
        The white level of images of more than 8 bits or of floats, as data.white_level.
    sbd
        The folder of SBD; by default in or beside ROOT.
    show_all
        Show every problem, class and difference, not only the first five.
    """
    from sbnet.data.datasets.coco.folder import is_coco

    if is_coco(root):
        if labels or classes or white_level:
            raise SBNetError(
                "--labels, --classes and --white-level need a folder in VOC's layout; this one is COCO's"
            )
        from sbnet.data.datasets.coco.check import check_coco

        found = check_coco(root)
    else:
        from sbnet.data.datasets.voc.check import check_voc

        found = check_voc(root, sbd=sbd, labels=labels, classes=classes, white=white_level)
    _print(found, None if show_all else 5)
    return 2 if found.problems else 0


def _print(found: Findings, shown: int | None) -> None:
    """shown: how many details of a line; None for all."""
    found.add("problems", str(len(found.problems) or "none"), found.problems)
    for title, text, details in found.lines:
        print(f"{title:<22} {text}")
        for detail in details[:shown]:
            print(f"  {detail}")
        if rest := len(details) - len(details[:shown]):
            print(f"  and {rest} more: --all")
    for place, missing in found.sources.items():
        print(f"{', '.join(missing)}: {place}")


def make_lists(
    root: Path,
    /,
    *,
    sbd: Path | None = None,
    masks: bool = False,
    source: Annotated[Path | None, Parameter(name="--from")] = None,
) -> None:
    """Write the lists trainval and train_aug from VOC's train and val and SBD's (or SegmentationClassAug's) images.

    train_aug is VOC's train and all of SBD without VOC's val: 10,582 images. Existing lists are kept.

      sbnet data make-lists VOC2012 --sbd benchmark_RELEASE
      sbnet data make-lists VOC2012 --from voc12/train_aug.txt

    Parameters
    ----------
    root
        The folder that holds JPEGImages.
    sbd
        The folder of SBD, with its NAME.mat; by default in or beside ROOT.
    masks
        Also write the masks of train_aug and val to SegmentationClassAug, for data.masks=SegmentationClassAug.
    source
        Instead, import this list of another implementation, under its own file name.
    """
    from sbnet.data.datasets.voc import lists as voc_lists

    if source and (sbd or masks):
        raise SBNetError("--from imports one list and cannot be combined with --sbd or --masks")
    made = [voc_lists.take_list(root, source)] if source else voc_lists.make_lists(root, sbd=sbd)
    for one in made:
        done = "written" if one.written else "already exists, kept"
        lost = f"; {one.without_photo} names without an image skipped" if one.without_photo else ""
        print(f"{one.path}: {one.photos} images, {done}{lost}")
    if masks:
        count = voc_lists.write_sbd_masks(root, sbd=sbd)
        print(f"{root / 'SegmentationClassAug'}: {count} masks written")


def package(
    masks: Path,
    /,
    *,
    out: Path,
    names: Annotated[Path | None, Parameter(name="--list")] = None,
    images: Path | None = None,
    competition: Literal["comp5", "comp6"] = "comp6",
) -> None:
    """Pack masks for VOC 2012's test server: results/VOC2012/Segmentation/comp6_test_cls/NAME.png in a tar.

    Checks mode and class ids first, and sizes with --images.

      sbnet data package masks --out results.tar.gz --list VOC2012/ImageSets/Segmentation/test.txt \\
          --images VOC2012/JPEGImages

    Parameters
    ----------
    masks
        The folder of NAME.png.
    out
        The archive: .tar.gz, .tgz or .tar.
    names
        A list, one image name per line, each with a mask; by default all masks are packed.
    images
        The folder of the images, to check the masks' sizes.
    competition
        comp6: trained on any data, ImageNet weights included; comp5: on VOC's own data alone.
    """
    from sbnet.data.datasets.voc.package import package_masks
    from sbnet.data.datasets.voc.sources import TEST_SERVER, WHOLE

    count, others = package_masks(masks, out, names=names, photos=images, competition=competition)
    print(f"{out}: {count} masks; {others} others in {masks} skipped")
    if count != WHOLE["test"]:
        print(f"  VOC 2012's test list has {WHOLE['test']} images")
    print(f"  submit it at {TEST_SERVER}")


def fetch(name: Literal["voc12", "sbd"], /, *, out: Path, url: str | None = None) -> None:
    """Download PASCAL VOC 2012 (2 GB) or SBD (1.3 GB), verify and unpack it. No other verb downloads data.

    If interrupted, run the same command to resume. Terms of use: see their pages.

      sbnet data fetch voc12 --out data

    Parameters
    ----------
    name
        voc12 or sbd.
    out
        The folder to unpack into: VOCdevkit/VOC2012, or benchmark_RELEASE.
    url
        A mirror; its file must have the same checksum.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from sbnet.data.datasets.voc.fetch import fetch as download
    from sbnet.data.datasets.voc.sources import ARCHIVES

    archive = ARCHIVES[name]
    print(f"{archive.title}: {url or archive.url}")
    with Progress(BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task("", total=None)
        found = download(
            archive, out, url=url, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )
    if name == "voc12":
        print(f"next: sbnet data check {found / 'VOC2012'}")
    else:
        print(f"next: sbnet data make-lists VOC2012 --sbd {found}")


def from_coco(
    instances: Path,
    /,
    *,
    images: Path,
    out: Path,
    names: Annotated[str, Parameter(name="--list")] = "train",
    masks: bool = True,
) -> None:
    """Convert COCO's instances to VOC's layout: links to the images, a list, classes, image-level labels, masks.

    Skips images without instances. If interrupted, run the same command to resume. A run on COCO's own folder does
    this by itself: sbnet run coco14-lite --data COCO

      sbnet data from-coco annotations/instances_train2014.json --images train2014 --out coco
      sbnet data from-coco annotations/instances_val2014.json --images val2014 --out coco --list val

    Parameters
    ----------
    instances
        COCO's annotations, such as instances_train2014.json.
    images
        The folder of its images.
    out
        The folder to make, or to add the list to.
    names
        The name of the list.
    masks
        Draw the masks: smaller instances on top, crowds as their class.
    """
    from sbnet.data.datasets.coco.layout import make_voc_layout
    from sbnet.data.datasets.voc.write import label_file

    made = make_voc_layout(instances, images, out, names, masks=masks)
    if made is None:
        print(f"{out}: list {names} is already complete")
    else:
        print(
            f"{out}: list {names}, {made.photos} images of {made.classes} classes, {made.drawn} masks drawn; "
            f"{made.without} images without instances skipped"
        )
    print(
        f"next: sbnet run coco14-lite --data {out} data.train={names} data.labels={label_file(out, names)} data.val="
    )
