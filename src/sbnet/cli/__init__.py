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
from sbnet.cli import about, data, export, files, photos, runs
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


def build_app() -> App:
    app = App(
        name="sbnet",
        help=HELP,
        version=__version__,
        help_format="plaintext",
        suppress_keyboard_interrupt=False,  # `execute` says what it means for the work
    )
    for module in (runs, photos, export, data, files, about):
        module.add_commands(app)
    runs.add_step_commands(app)
    app.register_install_completion_command()
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 for success, 2 for bad input (message on stderr), 130 when interrupted, 143 for a
    training that SIGTERM stopped.
    """
    if isinstance(
        sys.stdout, io.TextIOWrapper
    ):  # as stderr is: names may have letters that its encoding lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(execute(list(sys.argv[1:] if arguments is None else arguments)))


def execute(arguments: list[str]) -> int:
    """What `main` does, giving the exit status."""
    debug = "--debug" in arguments or os.environ.get("SBNET_DEBUG", "") not in ("", "0")
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        result = build_app()(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        return result if isinstance(result, int) else 0
    except (SBNetError, CycloptsError) as error:
        if debug:
            raise
        message = _mistyped(error) if isinstance(error, CycloptsError) else str(error)
        print(f"sbnet: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        if debug:
            raise
        print(f"sbnet: interrupted{f'; {interrupt}' if str(interrupt) else ''}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `sbnet recipes | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # of files, disk or network, wherever nobody foresaw it
        if debug:
            raise
        print(f"sbnet: {system_message(error)}; --debug shows where", file=sys.stderr)
        return 2


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
