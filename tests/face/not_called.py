"""What of the public face nobody calls, with the reason."""

from __future__ import annotations

_BY_REASON: dict[str, list[str]] = {
    "is raised": [
        *("CycleError", "NoFixedPointError", "NoFixedPointWarning", "GrowthWarning", "SlowPathWarning"),
        *("io.circuits.CombinationalCycleError", "testing.CellError", "train.DamagedFileError"),
    ],
    "is made by graphrec": [
        *("Inbox", "Schedule", "Episodes", "Trie", "loader.Cone", "dynamics.GradientFlow", "viz.Page"),
        *("learning.LocalGradients", "learning.LocalRun", "learning.Reach"),
        *("testing.Report", "testing.Result", "train.Fitted", "train.Progress"),
    ],
    "is to be subclassed": [
        *("Cell", "AffineCell", "Model", "loader.Sampler", "learning.ForwardRule", "learning.Rule"),
    ],
    "is a record, which is judged where it is given": [
        *("loader.Sizes", "testing.Claim", "train.Objective", "train.SequenceBatch"),
    ],
    "is a record that readers fill, which is judged as the Netlist made of it": [
        "io.circuits.AndInverterGraph"
    ],
    "is an enumeration": ["io.circuits.Kind"],
    "is a type": ["testing.Equations"],
    "is PyG's, see tests/loader and tests/parallel": ["DataLoader"],
    "reads a file, see tests/fuzz": [
        *("io.circuits.read_aiger", "io.circuits.read_bench", "io.circuits.read_circuit"),
    ],
    "reads a file of a run, see tests/train": ["train.load_weights", "train.read_progress"],
    "trains, or is given to Lightning's trainer, see tests/train": [
        *("train.fit", "train.test", "train.make_trainer", "train.History", "train.AtomicCheckpointIO"),
    ],
    # (It imports nothing of graphrec, so that it shares none of its errors.)
    "is plain recursion, which cells are held to and which checks nothing": [
        *("testing.evaluate", "testing.evaluate_rounds"),
    ],
}
NOT_CALLED = {name: reason for reason, names in _BY_REASON.items() for name in names}
