"""What the examples share: flags, runs through Lightning that resume, tables, pictures.

An example reads, in this order:

    run = common.start(common.parser(__doc__, name="logic", epochs=20))  # flags and folder; resumes or not
    with common.reading():  # a file that is not there ends the example with one line
        data = learning.Samples(train, val, test, batch_size=32)  # three data sets
    model = run.fit("tree", lambda: learning.Classifier(Network(), 7), data)  # trained, best weights loaded
    scores = run.test(model, data)  # {"accuracy": 0.81, "loss": 0.64}
    run.finish(common.table(header, rows))  # printed, and kept in the folder
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import lightning as L
import torch
from learning import Drawn, Learner, Samples

from graphrec import train
from graphrec.train import make_trainer as make_trainer
from graphrec.train.files import intact, remove
from graphrec.train.files import write_text as write_text

NAMES = (train.DONE, train.BEST, train.LAST, train.HISTORY)  # in the folder of each model

Made = TypeVar("Made", bound=Learner)

# Okabe and Ito's colours, which colour-blind readers can tell apart; in the order of use.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")


# What the errors of data sets call arguments, and what these are called here.
WORDS = {
    "root=...": "--data FOLDER",
    "neither root nor": "neither --data nor",
    "file=...": "--file",
    "lower burn_in": "lower --burn-in",
}


def parser(doc: str | None, *, name: str, epochs: int, data: str | None = None) -> argparse.ArgumentParser:
    """The flags that all examples have; an example may add its own before `start`.

    Args:
        doc: the example's docstring, shown by --help.
        name: names the default folder, `runs/<name>`.
        epochs: the default of --epochs.
        data: what --data is for; without it there is no such flag.
    """
    flags = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument(
        "--seed", type=_seed, default=0, help="the same seed gives the same result (default: 0)"
    )
    flags.add_argument("--epochs", type=count, default=epochs, help=f"at most this many (default: {epochs})")
    flags.add_argument("--out", type=Path, default=Path("runs", name), help=f"results (default: runs/{name})")
    flags.add_argument("--quick", action="store_true", help="a small model, few samples and epochs: seconds")
    flags.add_argument("--fresh", action="store_true", help="start from scratch instead of resuming")
    if data is not None:
        flags.add_argument("--data", type=Path, help=data)
    return flags


def start(flags: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> Run:
    """Read the flags (of the command line, or `argv`) and open the folder; see `Run`."""
    if "OMP_NUM_THREADS" not in os.environ:
        # Steps of a small network end before a second thread has started, and on a busy machine threads that
        # wait for each other make an epoch last minutes.
        torch.set_num_threads(1)
    args = flags.parse_args(argv)
    if getattr(args, "data", None) is not None and not args.data.expanduser().exists():
        sys.exit(f"--data names {args.data}, which is not there.")  # before an earlier run is replaced
    return Run(args)


@contextmanager
def reading() -> Iterator[None]:
    """For a block or function that reads data: an error of files or folders ends the example with one line, which names
    the flag instead of the data set's argument."""
    try:
        yield
    except (OSError, ValueError, ImportError) as error:
        said = " ".join(str(error).split())
        for theirs, ours in WORDS.items():
            said = said.replace(theirs, ours)
        sys.exit(said)


class Run:
    """One run of an example, and its folder `--out`.

    A run that was interrupted, even by `kill -9`, resumes after its last complete epoch when it is started again
    with the same flags, and gives the same result as without the interruption. If the last run has finished or had
    other flags, and with --fresh, a run starts from scratch and replaces what is there.

    In the folder: `flags.json`, `results.txt` (written last: its absence tells an interrupted run), pictures,
    and per model `best.ckpt` (by the validation), `last.ckpt` and, once trained, `done.json`.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.folder: Path = args.out
        self._say_how_to_start()

    def fit(
        self,
        name: str,
        build: Callable[[], Made],
        data: Samples | Drawn,
        *,
        patience: int = 5,
        monitor: str = "val_accuracy",
        goal: float | None = None,
    ) -> Made:
        """Train a model, or resume its training; returns it with the weights of its best epoch, ready to use.

        Its attributes `epochs` and `best_score` are how long it was trained and the best value of `monitor`.

        Args:
            name: the model's folder.
            build: makes the model; called with the random numbers seeded, so that each model of a run starts
                the same whatever was done before.
            data: what to train on.
            patience: stop after this many epochs without a better `monitor`.
            monitor: what chooses the best epoch; its metric says which value is better, and of losses the lower one is.
            goal: stop as soon as `monitor` is better than this.
        """
        L.seed_everything(self.args.seed, verbose=False)
        model = build()
        model.run_seed = data.run_seed = self.args.seed
        folder = self.folder / name
        weights = sum(p.numel() for p in model.parameters())
        with self._whole_files():
            was_done = (folder / train.DONE).exists()
            if not was_done:
                say(f"\n{name}: {weights:,} weights, {data.size}.")
                if begun := train.read_progress(folder / train.LAST).epochs:
                    say(f"Resuming from {folder / train.LAST}, after {begun} epoch{'s' * (begun != 1)}.")
            begin = time.perf_counter()
            fitted = train.fit(
                model,
                data,
                folder,
                max_epochs=self.args.epochs,
                monitor=monitor,
                patience=patience,
                goal=goal,
                gradient_clip_val=1.0,
                reload_dataloaders_every_n_epochs=1,  # for the order of each epoch, see Samples
            )
        seconds = time.perf_counter() - begin
        if was_done:
            say(f"\n{name}: trained already, {fitted.epochs} epochs.")
        else:
            say(f"{name}: {fitted.epochs} epochs, {seconds:.0f} s.")
        model.epochs, model.best_score = fitted.epochs, fitted.score
        return model

    def test(self, model: Learner, data: Samples | Drawn) -> dict[str, float]:
        """The metrics on the test set, by name."""
        return train.test(model, data)

    def finish(self, results: str) -> None:
        """Print the results and keep them: the run has finished."""
        say(f"\n{results}")
        write_text(self.folder / "results.txt", f"{results}\n")
        say(f"\nAll of this is in {self.folder}/.")

    @contextmanager
    def _whole_files(self) -> Iterator[None]:
        """A file that is cut off or missing ends the example with one line."""
        try:
            yield
        except train.DamagedFileError as error:
            sys.exit(f"{str(error).removesuffix('.')}, or start from scratch with --fresh.")
        except KeyboardInterrupt:
            sys.exit(130)

    def _say_how_to_start(self) -> None:
        results, flags = self.folder / "results.txt", self.folder / "flags.json"
        now = {name: str(value) for name, value in vars(self.args).items() if name not in ("out", "fresh")}
        now["GRAPHREC_DATA"] = os.environ.get("GRAPHREC_DATA", "")
        models = sorted({path.parent for name in NAMES for path in self.folder.glob(f"*/{name}")})
        if models and not flags.exists():
            sys.exit(
                f"{models[0]}/ holds a training, but {flags} is missing, so no example made it: name another "
                f"folder with --out, or delete {self.folder}/."
            )
        if models:
            anew = None
            if self.args.fresh:
                anew = "as asked"
            elif results.exists():
                anew = "it has finished"
            elif self._flags_in(flags) != now:
                anew = "it had other flags"
            if anew is None:
                say(f"Continuing the interrupted run in {self.folder}/ (--fresh starts from scratch).")
                return
            say(f"Replacing the run in {self.folder}/: {anew}.")
        results.unlink(missing_ok=True)
        for model in models:  # only what a run has written, or was writing when it was killed
            remove(model / name for name in NAMES)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(flags, json.dumps(now, indent=1))

    def _flags_in(self, path: Path) -> Any:
        """The flags with which the run of a folder was started."""
        only = (
            "Only this file tells whether the interrupted run had these flags: name another folder with --out"
        )
        with self._whole_files(), intact(path, only):
            return json.loads(path.read_text(encoding="utf-8"))


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned plain text: the first column to the left, the others to the right; floats with three digits."""
    cells = [[f"{c:.3f}" if isinstance(c, float) else str(c) for c in row] for row in rows]
    width = [max(len(row[i]) for row in [list(header), *cells]) for i in range(len(header))]

    def line(first: str, *others: str) -> str:
        right = (text.rjust(w) for text, w in zip(others, width[1:], strict=True))
        return "  ".join([first.ljust(width[0]), *right]).rstrip()

    return "\n".join([line(*header), line(*("─" * w for w in width)), *(line(*row) for row in cells)])


def figure(width: float, height: float) -> Any:
    """An empty matplotlib Figure, sized in inches, drawn without a screen and without changing global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure((width, height), dpi=160, layout="constrained")
    FigureCanvasAgg(made)
    return made


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


def whole(text: str, least: int = 0) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected a whole number, {least} or more, got {text!r}")
    return int(text)


def count(text: str) -> int:
    return whole(text, least=1)


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to {2**32 - 1}, got {text!r}")
    return int(text)
