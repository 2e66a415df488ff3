"""The `sbnet` command: each verb reads its arguments, calls one function and prints.

PyTorch loads only where it is needed.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from cyclopts import App
from cyclopts.exceptions import CycloptsError, MissingArgumentError

from sbnet import __version__
from sbnet.cli import about, data, export, files, photos, runs, steps, sweep
from sbnet.errors import SBNetError, system_message

HELP = """From image-level labels to segmentation masks.

Start here:

  sbnet run quickstart                  the whole chain on built-in scenes
  sbnet run voc12-lite --data FOLDER    on your images, in PASCAL VOC's layout
  sbnet run runs/voc12-lite             resume a run
  sbnet predict IMAGES --model runs/quickstart --out masks

Each command has its own help: sbnet run --help.
--debug, or SBNET_DEBUG=1, shows errors with their traceback.
"""


# What lists or needs the verbs of steps, for which all methods are loaded, plug-ins' included.
WITH_STEPS = ("", "--help", "-h", "--install-completion")


def build_app(named: str = "") -> App:
    """named: the first word of the command line; what only other verbs need is not loaded."""
    app = App(
        name="sbnet",
        help=HELP,
        version=__version__,
        help_format="plaintext",
        suppress_keyboard_interrupt=False,  # `execute` says what it means for the work
    )
    for module in (runs, sweep, photos, data, files):
        module.add_commands(app)
    for lister in (export, about):
        lister.add_commands(app, named)
    app.register_install_completion_command()
    if named in WITH_STEPS or named not in list(app):
        steps.add_commands(app)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 for success, 2 for bad input (message on stderr), 130 when interrupted, 143 for a
    training that SIGTERM stopped.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # names may have letters that its encoding lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(execute(list(sys.argv[1:] if arguments is None else arguments)))


def execute(arguments: list[str]) -> int:
    """What `main` does, giving the exit status."""
    debug = "--debug" in arguments or os.environ.get("SBNET_DEBUG", "") not in ("", "0")
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        app = build_app(arguments[0] if arguments else "")
        result = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        return result if isinstance(result, int) else 0
    except BrokenPipeError:  # `sbnet recipes | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (SBNetError, CycloptsError, OSError, KeyboardInterrupt) as error:
        if debug:
            raise
        print(f"sbnet: {_message(error)}", file=sys.stderr)
        return 130 if isinstance(error, KeyboardInterrupt) else 2


def _message(error: BaseException) -> str:
    if isinstance(error, CycloptsError):
        return _mistyped(error)
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted; {error}".rstrip("; ")
    if isinstance(error, OSError):  # of files, disk or network, wherever nobody foresaw it
        return f"{system_message(error)}; --debug shows where"
    return str(error)


def _mistyped(error: CycloptsError) -> str:
    """What cyclopts says, of an argument that was forgotten also what it is, and where to read on."""
    message = str(error).partition(" Available commands")[0].rstrip(". ")
    if isinstance(error, MissingArgumentError) and error.app and error.argument:
        about = {
            one.name: " ".join((one.parameter.help or "").split())
            for one in error.app.assemble_argument_collection(parse_docstring=True)
        }
        if what := about.get(error.argument.name):
            message += f": {what[0] if what[1:2].isupper() else what[0].lower()}{what[1:].rstrip('.')}"
    return f"{message}; see {' '.join(('sbnet', *(error.command_chain or ()), '--help'))}"
