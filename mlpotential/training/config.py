"""Everything a training run is told, as plain settings. Free of torch.

One YAML file holds a `RunConfig`; each field can be overridden on the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

from mlpotential.data.declared_units import scalar_unit
from mlpotential.data.sets.named import known_units
from mlpotential.errors import ConfigError
from mlpotential.models.config import PotentialConfig
from mlpotential.models.outputs import KNOWN, Output, check_outputs
from mlpotential.models.schnet_config import SchNetConfig
from mlpotential.models.terms.settings import Terms, check_terms
from mlpotential.properties import OWN_LABELS
from mlpotential.settings_checks import check_count, check_number, require

LARGEST_SEED = 2**32 - 1  # what every generator takes


@dataclass(frozen=True)
class DataConfig:
    """Reference data, its labels and its units.

    Attributes:
        path: training data (.xyz, .extxyz, .data of RuNNer and n2p2, .json of pymatgen, these also
            .gz; .npz, .db, folders of DeePMD-kit), relative to the configuration file; or a
            published set by name: qm9, or md17:FILE, rmd17:FILE, qm7x:FILE, c20:FILE,
            crystals:FILE.
        energy_unit: unit of the energies in the file, e.g. eV, kcal/mol, Hartree; None for a
            published set and a file of `mlpotential label` alone, whose units are known.
        length_unit: unit of the positions, e.g. Angstrom, Bohr; None as for the energies.
        energy_key: name of the energy label; None for `energy` or `REF_energy`.
        forces_key: name of the forces label; None for `forces` or `REF_forces`.
        force_unit: unit of the forces, e.g. Hartree/Bohr; None for energy_unit / length_unit.
        stress_unit: unit of the stresses, needed with `training.stress_weight`: GPa, kbar or
            eV/Angstrom^3 where tension is positive, as in ASE; -GPa, -kbar or -eV/Angstrom^3 where
            pressure is, as VASP prints it.
        stress_key: name of the stress label; None for `stress` or `REF_stress`.
        validation_path: validation data; None draws `n_validation` frames from `path`.
        test_path: test data; None takes what the split leaves over.
        n_train: frames to train on; None for all that remain.
        train_subset: train on the first so many of the `n_train` frames that are drawn, whatever
            their number the same validation and test frames are left; None for all.
        n_validation: validation frames; of `validation_path` the first so many, None for all.
        split_seed: seed of the random split.
        atom_references: `none`, `least_squares`, `isolated_atoms` (of the training data: frames
            with config_type=IsolatedAtom, or lone atoms), or a file: energies in `energy_unit` by
            symbol or atomic number, or frames of isolated atoms.
        drop_isolated: leave out structures with atoms that have no neighbour within the cutoff of
            the model; false uses them, with a warning.
        drop_repeats: leave out of the validation and test sets what is also in the training set, as
            is always done with qm9; false refuses such sets.
    """

    path: str
    energy_unit: str | None = None
    length_unit: str | None = None
    energy_key: str | None = None
    forces_key: str | None = None
    force_unit: str | None = None
    stress_unit: str | None = None
    stress_key: str | None = None
    validation_path: str | None = None
    test_path: str | None = None
    n_train: int | None = None
    train_subset: int | None = None
    n_validation: int | None = None
    split_seed: int = 0
    atom_references: str = "none"
    drop_isolated: bool = False
    drop_repeats: bool = False

    def __post_init__(self) -> None:
        self._check_units()
        if self.validation_path is None and self.n_validation is None:
            raise ConfigError(
                "early stopping and the choice of the best model need validation data: "
                "give data.validation_path or data.n_validation"
            )
        for name in ("n_train", "train_subset", "n_validation"):
            if getattr(self, name) is not None:
                check_count(f"data.{name}", getattr(self, name))
        _check_seed("data.split_seed", self.split_seed)

    def _check_units(self) -> None:
        """Raises ConfigError unless they are declared or known."""
        energy, length = known_units(self.path, self.energy_unit, self.length_unit)
        missing = ["data.energy_unit"] * (energy is None) + ["data.length_unit"] * (length is None)
        if missing:
            from mlpotential.data.readers.units_in_file import units_in_file

            raise ConfigError(
                f"the configuration lacks {', '.join(missing)}, which are declared and never "
                f"guessed. Of {self.path}: {units_in_file(Path(self.path))}"
            )


@dataclass(frozen=True)
class OutputConfig(Output):
    """One output of a model, and how it is learned.

    Attributes:
        unit: of the label in the data files; needed for all but energies, whose unit is
            `data.energy_unit`.
        key: name of the label in the files; null for its usual names.
        weight: of the squared error of the label of a structure in the loss, whose other terms are
            in eV^2/A^2 (without forces: eV^2), hence in those per square of the unit that the
            output has in this program (e A of a dipole). Those of energies and forces are
            `training.energy_weight` and 1.
    """

    key: str | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("weight of an output", self.weight)

    def described(self, name: str) -> Output:
        """What a model file says of it: the unit is that of a scalar in this program."""
        output = Output(**{f.name: getattr(self, f.name) for f in fields(Output)})
        unit = None if name in KNOWN or self.unit is None else scalar_unit(self.unit)[0]
        return replace(output, unit=unit)


@dataclass(frozen=True)
class TrainingConfig:
    """How the network is fitted; the defaults are those of the paper where it states them.

    Attributes:
        targets: what the loss sees. `forces` fits the integration constant afterwards.
        energy_weight: rho, the trade-off of energy against forces in the combined loss (1/A^2).
        curvature_weight: of |H v - H' v|^2 in the loss (A^2, as the other terms are in eV^2/A^2), H
            being the second derivatives of the energy and v a random direction; 0 for none. A step
            takes 2.5 to 3 times as long, which pays where structures are few.
        curvature_from: who knows H': a model file (.safetensors), whose curvature is learned
            (distillation), or an archive (.npz) with hessian_N of frames of `data.path`.
        stress_weight: of the squared difference of the stresses, summed over their nine components,
            in the loss (A^4; without forces A^6); 0 for none. Every structure then has a cell.
        batch_size: structures per step, of all processes together where several train.
        max_epochs: passes over the training data.
        start_from: model file whose network training begins with (fine-tuning), of the same
            settings `model`; relative to the configuration file. None for random weights. Scale
            and reference energies are its own, too, but for a constant per element that meets the
            new energies best. It is fitted, so `data.atom_references` must be `none`.
        learning_rate: of Adam, at the start.
        weight_decay: how fast weights of dense layers shrink, in units of the learning rate
            (AdamW); something like 0.01 to 1 where a model learns its training data by heart.
        schedule: `exponential` (factor per `decay_steps`, continuously), `plateau` (factor when the
            validation loss stalls), `cosine` (to zero at `max_epochs`), `warm_restarts` (cosines
            to zero, one after another).
        decay_factor: factor of the exponential and plateau schedules.
        decay_steps: steps per factor of the exponential schedule.
        plateau_patience: epochs without improvement before the plateau schedule acts.
        restart_period: epochs of the first cosine of warm_restarts.
        restart_growth: how many times as long as the one before each further cosine is.
        warmup_steps: steps in which the rate rises linearly to that of the schedule; some hundred
            where training begins with a model (`start_from`), 0 for none.
        early_stopping_patience: epochs without improvement before training ends; None for never.
        ema_decay: decay per step of the exponential moving average of the weights that is
            validated and stored; None for none.
        max_gradient_norm: gradients are clipped to this norm; None for never.
        tabulated_filters: in each step, filters come from a table made from the filter networks,
            which is exact to about 1e-6 and faster where there are many more pairs than knots.
        dtype: of the network during training; positions, energies and sums are float64 always.
        device: auto, cpu, cuda or cuda:N.
        seed: of the initial weights and of the order of the data.
        checkpoint_interval_s: seconds between checkpoints; killing the run loses at most these.
    """

    targets: Literal["energy_and_forces", "energy", "forces"] = "energy_and_forces"
    energy_weight: float = 0.01
    stress_weight: float = 0.0
    curvature_weight: float = 0.0
    curvature_from: str | None = None
    batch_size: int = 32
    max_epochs: int = 1000
    start_from: str | None = None
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    schedule: Literal["exponential", "plateau", "cosine", "warm_restarts"] = "exponential"
    decay_factor: float = 0.96
    decay_steps: int = 100_000
    plateau_patience: int = 25
    restart_period: int = 50
    restart_growth: int = 2
    warmup_steps: int = 0
    early_stopping_patience: int | None = None
    ema_decay: float | None = None
    max_gradient_norm: float | None = None
    tabulated_filters: bool = False
    dtype: Literal["float32", "float64"] = "float32"
    device: str = "auto"
    seed: int = 0
    checkpoint_interval_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ("batch_size", "max_epochs", "decay_steps", "plateau_patience"):
            check_count(f"training.{name}", getattr(self, name))
        for name in ("restart_period", "restart_growth"):
            check_count(f"training.{name}", getattr(self, name))
        check_count("training.warmup_steps", self.warmup_steps, smallest=0)
        check_number("training.learning_rate", self.learning_rate)
        _check_seed("training.seed", self.seed)
        for name in (
            "checkpoint_interval_s", "curvature_weight", "energy_weight", "stress_weight",
            "weight_decay",
        ):  # fmt: skip
            check_number(f"training.{name}", getattr(self, name), zero_allowed=True)
        if self.targets == "energy_and_forces":
            expected = "positive, or use targets: forces"
            require(
                self.energy_weight > 0.0, "training.energy_weight", expected, self.energy_weight
            )
        for name in ("decay_factor", "ema_decay"):
            value = getattr(self, name)
            holds = value is None or 0.0 < value < 1.0
            require(holds, f"training.{name}", "between 0 and 1", value)
        if self.max_gradient_norm is not None:
            check_number("training.max_gradient_norm", self.max_gradient_norm)
        if self.early_stopping_patience is not None:
            check_count("training.early_stopping_patience", self.early_stopping_patience)

        self._check_curvature()

    def _check_curvature(self) -> None:
        weight, source = self.curvature_weight, self.curvature_from
        if (weight > 0.0) != (source is not None):
            raise ConfigError(
                "the curvature is learned with a positive training.curvature_weight (0.01 to begin "
                "with) and training.curvature_from, a model file or an archive of Hessians; found "
                f"{weight} and {source}"
            )
        if source is None:
            return
        is_known = source.lower().endswith((".safetensors", ".npz"))
        require(is_known, "training.curvature_from", "a .safetensors or .npz file", source)
        if self.targets == "energy":
            raise ConfigError(
                "training.curvature_weight goes with forces in the loss: use targets: "
                "energy_and_forces or targets: forces"
            )
        if self.tabulated_filters:
            raise ConfigError(
                "training.tabulated_filters gives the right energies and forces, but not the right "
                "curvature: leave it out, or training.curvature_weight"
            )

    @property
    def energy_weights(self) -> dict[str, float]:
        """Weights of energies, forces and stresses; Schuett et al. (2018), Eq. (5)."""
        of_stress = {"stress": self.stress_weight} if self.stress_weight else {}
        return {
            "energy": {"energy": 1.0},
            "forces": {"forces": 1.0},
            "energy_and_forces": {"energy": self.energy_weight, "forces": 1.0},
        }[self.targets] | of_stress


@dataclass(frozen=True)
class RunConfig:
    """One training run.

    Attributes:
        data: reference data.
        model: settings of an architecture.
        outputs: what the model gives besides its features, by name.
        terms: physical terms (zbl, d3, d4) that are added to the energy of the network, which is
            trained on what they leave.
        training: optimisation.
        folder: where checkpoints, history and the model go, relative to the working directory.
    """

    data: DataConfig
    model: PotentialConfig = field(default_factory=SchNetConfig)
    outputs: Mapping[str, OutputConfig] = field(default_factory=lambda: {"energy": OutputConfig()})
    terms: Terms = field(default_factory=dict)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    folder: str = "training"

    def __post_init__(self) -> None:
        if self.training.start_from is not None and self.data.atom_references != "none":
            raise ConfigError(
                "training.start_from brings reference energies with it, which are shifted to meet "
                f"the new energies: leave out data.atom_references ({self.data.atom_references})"
            )
        for name, output in self.outputs.items():
            self._check_label(name, output)
        check_outputs(self.described_outputs)
        check_terms(self.terms)
        if self.terms:
            has_energy = "energy" in self.outputs
            require(has_energy, "terms", "left out of a model without energies", list(self.terms))
        if self.training.curvature_from is not None:
            expected = "left out where the curvature is learned (training.curvature_weight)"
            require(not self.terms, "terms", expected, list(self.terms))
            expected = "with energy where the curvature is learned"
            require("energy" in self.outputs, "outputs", expected, list(self.outputs))
        if self.training.stress_weight > 0.0 and not self._has_unit(
            "stress", self.data.stress_unit
        ):
            known = ", ".join(OWN_LABELS["stress"].declared_units)
            raise ConfigError(
                f"stresses are read in a declared unit: give data.stress_unit, one of {known}"
            )
        if "energy" not in self.outputs:
            expected = "left out of a model without energies"
            references, targets = self.data.atom_references, self.training.targets
            require(references == "none", "data.atom_references", expected, references)
            require(targets == "energy_and_forces", "training.targets", expected, targets)

    def _check_label(self, name: str, output: OutputConfig) -> None:
        where = f"outputs.{name}"
        if name == "energy":
            for setting, instead in (("unit", "data.energy_unit"), ("key", "data.energy_key")):
                value = getattr(output, setting)
                require(value is None, f"{where}.{setting}", f"left out: give {instead}", value)
            expected = "left out: give training.energy_weight"
            require(output.weight == 1.0, f"{where}.weight", expected, output.weight)
        elif name in OWN_LABELS:
            known = ", ".join(OWN_LABELS[name].declared_units)
            if not self._has_unit(name, output.unit):
                raise ConfigError(
                    f"the {name} is read in a declared unit: give {where}.unit, one of {known}"
                )
            expected = f"one of {known}"
            require(
                output.unit is None or output.unit in OWN_LABELS[name].declared_units,
                f"{where}.unit",
                expected,
                output.unit,
            )

    def _has_unit(self, label: str, declared: str | None) -> bool:
        """Whether it is declared, or written by this program into the file."""
        from mlpotential.data.readers.units_in_file import known_from_file

        return declared is not None or label in known_from_file(self.data.path)

    @property
    def described_outputs(self) -> dict[str, Output]:
        """As a model file has them."""
        return {name: output.described(name) for name, output in self.outputs.items()}

    @property
    def loss_weights(self) -> dict[str, float]:
        """Of the squared errors of the labels that the loss sees, by label."""
        of_energies = self.training.energy_weights if "energy" in self.outputs else {}
        others = {name: o.weight for name, o in self.outputs.items() if name != "energy"}
        return of_energies | others

    @property
    def labels(self) -> tuple[str, ...]:
        """What is read, and asked of the model: energies always, and what the loss sees."""
        names = {"energy": 0.0} if "energy" in self.outputs else {}
        return tuple(names | self.loss_weights)

    @property
    def label_options(self) -> dict[str, str | None]:
        """Keys of labels, and units that are their own, by their names as arguments of readers."""
        data = self.data
        options = {"energy_key": data.energy_key, "forces_key": data.forces_key}
        options |= {"stress_key": data.stress_key, "stress_unit": data.stress_unit}
        for name, output in self.outputs.items():
            if name != "energy":
                options |= {f"{name}_key": output.key, f"{name}_unit": output.unit}
        return options


def _check_seed(name: str, value: int) -> None:
    require(0 <= value <= LARGEST_SEED, name, f"from 0 to {LARGEST_SEED}", value)
