"""What the C20 study is told. Free of torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from md_runs.c20 import MODEL
from md_runs.c20 import STRUCTURE as STRUCTURE  # version 0.1.0 had it here
from md_runs.force_provider import CalculatorForces
from md_runs.pimd.settings import ENGINES, Engine
from mlpotential.errors import ConfigError, RunError
from mlpotential.inference.execution import DEFAULT_EXECUTION, Execution
from mlpotential.settings_checks import check_choice, check_count, check_number

SHIPPED_MODEL = MODEL  # its name in version 0.1.0
HERE = Path(__file__).parent
REFERENCE = HERE / "reference.json"

STUDY_NAME = "study.json"
FULL_LENGTH_PS = 1250.0  # the path-integral run of the SchNet paper
CONCLUSIVE_CLASSICAL_PS = 20.0  # chosen: mean bond to 1e-4 A
CONCLUSIVE_PATH_INTEGRAL_PS = 5.0  # chosen: mean bond to 1e-4 A
MINIMUM_FRAMES = 40  # ten blocks of frames are left when equilibration is cut off
SEGMENT_SPACING_PS = 0.4  # chosen: between the start frames of NVE segments
SHORT_STRIDE = 10  # steps; chosen: 5 fs between frames, a quarter of the fastest vibration
LONG_STRIDE = 100  # steps; chosen: 1.25 ns of 8 beads fill 0.3 GB instead of 3 GB
LONG_PS = 200.0  # chosen: here the short stride has filled 0.5 GB


@dataclass(frozen=True)
class C20Study:
    """Settings of one study; the same folder can be continued with greater lengths.

    Attributes:
        model: model file.
        folder: for everything the study writes.
        classical_ps, path_integral_ps: lengths of the two runs (ps).
        n_beads: of the ring polymer.
        engine: what moves it: native, in this process, or ipi, a process of i-PI.
        bead_series: other numbers of beads, each of a further path-integral run of the same length.
        temperature_K: of all runs.
        timestep_fs: of all runs.
        stride: steps between recorded frames of the two runs, see `folder_defaults`.
        segment_ps: length of each NVE segment (ps), which sets the resolution of the spectrum.
        seed: of velocities and thermostats.
        execution: of the model in the runs; the dtype of minimum and Hessian is float64.
        calculator: in the place of the model; None for that.
    """

    model: Path = MODEL
    folder: Path = Path("c20_study")
    classical_ps: float = 2.0
    path_integral_ps: float = 2.0
    n_beads: int = 8
    engine: Engine = "native"
    bead_series: tuple[int, ...] = ()
    temperature_K: float = 300.0
    timestep_fs: float = 0.5
    stride: int = SHORT_STRIDE
    segment_ps: float = 3.0
    seed: int = 1
    execution: Execution = DEFAULT_EXECUTION
    calculator: CalculatorForces | None = None

    def __post_init__(self) -> None:
        for name in (
            "classical_ps",
            "path_integral_ps",
            "temperature_K",
            "timestep_fs",
            "segment_ps",
        ):
            check_number(name, getattr(self, name))
        check_choice("engine", self.engine, ENGINES)
        for name in ("n_beads", "stride"):
            check_count(name, getattr(self, name))
        for n_beads in self.bead_series:
            check_count("bead_series", n_beads)
        check_count("seed", self.seed, smallest=0)
        least = max(MINIMUM_FRAMES, self.segment_spacing)
        self._check_length("classical_ps", least, "error bars and the start of an NVE segment")
        self._check_length("path_integral_ps", MINIMUM_FRAMES, "error bars")

    def _check_length(self, name: str, n_frames: int, purpose: str) -> None:
        if self.n_steps(getattr(self, name)) < n_frames * self.stride:
            shortest_ps = n_frames * self.stride * self.timestep_fs / 1000.0
            raise ConfigError(
                f"{name} is {getattr(self, name)} ps: at least {shortest_ps:g} ps are needed "
                f"for {purpose}"
            )

    @property
    def segment_spacing(self) -> int:
        """Frames of the classical run from the start of one NVE segment to the next."""
        return max(1, round(SEGMENT_SPACING_PS * 1000.0 / (self.timestep_fs * self.stride)))

    def n_steps(self, length_ps: float) -> int:
        """Steps of a run of that length, whole recording intervals."""
        return round(length_ps * 1000.0 / self.timestep_fs / self.stride) * self.stride

    @property
    def is_conclusive(self) -> bool:
        """Whether the runs are long enough for the effects the paper shows."""
        return (
            self.classical_ps >= CONCLUSIVE_CLASSICAL_PS
            and self.path_integral_ps >= CONCLUSIVE_PATH_INTEGRAL_PS
        )


@dataclass(frozen=True)
class FolderDefaults:
    """What a study is told where nothing is asked for: a folder keeps what its study began with.

    Attributes:
        stride: steps between frames; of a new study by its length.
        engine, seed: as of `C20Study`.
    """

    stride: int
    engine: Engine
    seed: int


def folder_defaults(folder: Path, length_ps: float) -> FolderDefaults:
    """Of the study in the folder, or for a new one of that length.

    Raises:
        RunError: if there is a study in the folder that cannot be read.
    """
    by_length = LONG_STRIDE if length_ps >= LONG_PS else SHORT_STRIDE
    new = FolderDefaults(by_length, C20Study.engine, C20Study.seed)
    if not (folder / STUDY_NAME).exists():
        return new
    old = {"stride": SHORT_STRIDE} | read_identity(folder)
    return FolderDefaults(**{name: old.get(name, value) for name, value in vars(new).items()})


def read_identity(folder: Path) -> dict[str, Any]:
    """What the study in a folder is. Raises RunError if that cannot be read."""
    path = folder / STUDY_NAME
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RunError(f"cannot read {path} ({error}): choose another --folder") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} is damaged: choose another --folder")
    return {"engine": "ipi"} | content  # version 0.1.0 had no other
