"""What is learned, how well, and what it may cost: settings only, importable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from mlpotential.errors import ConfigError
from mlpotential.settings_checks import check_choice, check_count, check_number

Dynamics = Literal["classical", "pimd"]
Strategy = Literal["disagreement", "random"]

FIRST_SHARE = 0.3  # of the budget, in round 0; chosen
ROUND_SHARE = 0.15  # of the budget, in every other round; chosen
CHECK_SHARE = 0.15  # of the labels of a round, never trained on; chosen
FEWEST_CHECKS = 4
PROBE_RUNS = 2  # that share `trusted_ps`
MOST_RUNS = 6  # of one round; chosen: many short ones where each is stopped soon
BEADS = {"classical": 1, "pimd": 16}
TIMESTEPS_FS = {"classical": 0.5, "pimd": 0.25}  # chosen: X-H stretches, and stiff ring polymers


@dataclass(frozen=True)
class LearningRun:
    """Settings of a learning run.

    Attributes:
        dynamics: what the force field is for: classical dynamics, or path integrals, whose beads
            are all looked at.
        temperature_K: of that dynamics (K).
        budget: structures that the calculator may label, besides the relaxation, the Hessian and
            the dynamics of the first round; may grow in a folder.
        force_error_eV_A: what the calibrated error of a force component has to be below (eV/A).
        trusted_ps: time of fresh dynamics in a round, in which nothing may be stopped (ps).
        strategy: which structures are labelled: those of the largest disagreement that differ most
            from all labelled ones, or random ones, for comparison.
        members: networks of the committee.
        n_features: F of each network.
        n_interactions: T of each network.
        training_visits: number of structures seen in one training, in thousands; what the time
            goes into.
        n_beads: of the ring polymer; 16, or 1 of classical dynamics, where none is given.
        timestep_fs: of the dynamics; 0.25 (pimd) or 0.5 fs where none is given.
        md_steps: steps of dynamics by the calculator itself, in the first round; 0 for none.
        max_rounds: at most, the first one not counted.
        seed: of all that is drawn.

    Raises:
        ConfigError: for a value of the wrong type or out of range.
    """

    dynamics: Dynamics = "classical"
    temperature_K: float = 300.0
    budget: int = 500
    force_error_eV_A: float = 0.05
    trusted_ps: float = 4.0
    strategy: Strategy = "disagreement"
    members: int = 3
    n_features: int = 64
    n_interactions: int = 3
    training_visits: float = 30.0
    n_beads: int | None = None
    timestep_fs: float | None = None
    md_steps: int = 100
    max_rounds: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("--for", self.dynamics, get_args(Dynamics))
        check_choice("strategy", self.strategy, get_args(Strategy))
        for name in ("temperature_K", "force_error_eV_A", "trusted_ps", "training_visits"):
            check_number(name, getattr(self, name))
        for name in ("n_features", "n_interactions", "max_rounds"):
            check_count(name, getattr(self, name))
        for name in ("md_steps", "seed"):
            check_count(name, getattr(self, name), smallest=0)
        if self.n_beads is not None:
            check_count("n_beads", self.n_beads)
        if self.timestep_fs is not None:
            check_number("timestep_fs", self.timestep_fs)
        check_count("budget", self.budget)
        check_count("members", self.members)
        if self.members < 2:
            raise ConfigError(
                f"members is {self.members}: one network disagrees with nobody, at "
                "least two are needed"
            )
        if self.budget < 20:
            raise ConfigError(
                f"budget is {self.budget}: at least 20 labels are needed, to train on "
                "some and to check by others"
            )
        if self.dynamics == "classical" and self.beads != 1:
            raise ConfigError(f"n_beads is {self.beads}, but classical dynamics has 1: --for pimd")

    @property
    def beads(self) -> int:
        """Of the ring polymer."""
        return BEADS[self.dynamics] if self.n_beads is None else self.n_beads

    @property
    def step_fs(self) -> float:
        """Time step of the dynamics (fs)."""
        return TIMESTEPS_FS[self.dynamics] if self.timestep_fs is None else self.timestep_fs

    @property
    def run_steps(self) -> int:
        """Of one fresh run, whole recording intervals."""
        n_steps = round(1000.0 * self.trusted_ps / PROBE_RUNS / self.step_fs / self.stride)
        return max(10, n_steps) * self.stride

    @property
    def stride(self) -> int:
        """Steps between recorded frames: 10 fs; chosen: a whole period of the fastest vibration."""
        return max(1, round(10.0 / self.step_fs))

    @property
    def first_labels(self) -> int:
        """Structures of round 0."""
        return max(12, round(FIRST_SHARE * self.budget))

    @property
    def round_labels(self) -> int:
        """Structures of every other round, with those to check by."""
        return max(2 * FEWEST_CHECKS, round(ROUND_SHARE * self.budget))

    def n_checks(self, n_labels: int) -> int:
        """Of so many labels those that nothing is trained on."""
        return max(FEWEST_CHECKS, round(CHECK_SHARE * n_labels))
