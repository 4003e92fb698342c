"""Tiny SchNets with random weights, saved by other programs, with what those say of two molecules.

    python make_foreign_models.py schnetpack2|schnetpack1|torch_geometric

writes model files (.pt) and their answers (.npz) into foreign/ beside this file, for
mlpotential/models/importers/test_foreign_models.py. Each program needs an environment of its own:

    pip install schnetpack==2.1.1          (see make_schnetpack_reference.py for newer torch)
    pip install schnetpack==1.0.1
    pip install torch-geometric==2.8.1 torch ase

Made with these versions, torch 2.13.0, ASE 3.29.0. Weights are saved in float32 and evaluated in
float64. Energies are those of the networks; units are whatever a test declares.
"""

import math
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule

FOLDER = Path(__file__).parent / "foreign"
CUTOFF = 4.1  # A; float32 rounds it
N_FEATURES, N_INTERACTIONS, N_RBF = 8, 2, 9
ATOM_REFERENCES = {1: -13.6, 6: -1029.5, 7: -1484.25, 8: -2041.75}


def molecules() -> list[Atoms]:
    """Acetamide, and butane so stretched that its ends are beyond the cutoff."""
    made = [molecule("CH3CONH2"), molecule("trans-butane")]
    made[1].positions *= 1.4
    for seed, atoms in enumerate(made):
        atoms.rattle(0.1, seed=seed)
    return made


def randomize_biases(model: torch.nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)


def atom_references() -> torch.Tensor:
    references = torch.zeros(100)
    for atomic_number, energy in ATOM_REFERENCES.items():
        references[atomic_number] = energy
    return references


def save_answers(name: str, energies: list, forces: list, packages: tuple[str, ...]) -> None:
    made = molecules()
    np.savez_compressed(
        FOLDER / f"{name}.npz",
        numbers=np.concatenate([atoms.numbers for atoms in made]),
        positions=np.concatenate([atoms.positions for atoms in made]),
        batch=np.repeat(np.arange(len(made)), [len(atoms) for atoms in made]),
        energy=np.array(energies, float).reshape(-1),
        forces=np.concatenate(forces),
        versions=np.array([f"{package} {version(package)}" for package in packages]),
    )


def schnetpack2() -> None:
    import schnetpack as spk
    import schnetpack.transform as transform
    from schnetpack.interfaces import AtomsConverter
    from schnetpack.nn.activations import shifted_softplus

    def make(shared: bool, output_modules: list, postprocessors: list) -> torch.nn.Module:
        model = spk.model.NeuralNetworkPotential(
            representation=spk.representation.SchNet(
                n_atom_basis=N_FEATURES,
                n_interactions=N_INTERACTIONS,
                radial_basis=spk.nn.GaussianRBF(n_rbf=N_RBF, cutoff=CUTOFF),
                cutoff_fn=spk.nn.CosineCutoff(CUTOFF),
                shared_interactions=shared,
            ),
            input_modules=[spk.atomistic.PairwiseDistances()],
            output_modules=output_modules,
            postprocessors=postprocessors,
        )
        randomize_biases(model)
        return model.eval()

    offsets = transform.AddOffsets("energy", add_mean=True, add_atomrefs=True)
    offsets.mean, offsets.atomref = torch.tensor(-3.25, dtype=torch.float64), atom_references()
    models = {
        "schnetpack_2_silu": make(
            shared=False,
            output_modules=[
                spk.atomistic.Atomwise(n_in=N_FEATURES, output_key="energy"),
                spk.atomistic.Forces(),
            ],
            postprocessors=[
                transform.CastTo64(),
                transform.ScaleProperty("energy", scale=torch.tensor([1.75])),
                transform.ScaleProperty("forces", scale=torch.tensor([1.75])),
                offsets,
            ],
        ),
        "schnetpack_2_shared": make(
            shared=True,
            output_modules=[
                spk.atomistic.Atomwise(
                    n_in=N_FEATURES, n_hidden=5, activation=shifted_softplus, output_key="E"
                ),
                spk.atomistic.Forces(energy_key="E"),
            ],
            postprocessors=[],
        ),
    }
    converter = AtomsConverter(transform.ASENeighborList(cutoff=CUTOFF), dtype=torch.float64)
    for name, model in models.items():
        torch.save(model, FOLDER / f"{name}.pt")
        key = model.output_modules[0].output_key
        answers = [model.double()(converter(atoms)) for atoms in molecules()]
        energies = [answer[key].item() for answer in answers]
        forces = [answer["forces"].detach().numpy() for answer in answers]
        save_answers(name, energies, forces, ("schnetpack", "torch", "ase"))


def schnetpack1() -> None:
    from schnetpack.atomistic import AtomisticModel, Atomwise
    from schnetpack.data import AtomsConverter
    from schnetpack.representation import SchNet

    readout = Atomwise(
        N_FEATURES,
        property="energy_U0",
        derivative="forces",
        negative_dr=True,
        mean=torch.tensor([-2.5]),
        stddev=torch.tensor([0.375]),
        atomref=atom_references().numpy()[:, None],
    )
    representation = SchNet(
        n_atom_basis=N_FEATURES,
        n_filters=N_FEATURES,
        n_interactions=N_INTERACTIONS,
        cutoff=CUTOFF,
        n_gaussians=N_RBF,
    )
    model = AtomisticModel(representation, readout).eval()
    randomize_biases(model)
    torch.save(model, FOLDER / "schnetpack_1.pt")
    for kind in (int, float):  # names that its converter uses and NumPy no longer has
        setattr(np, kind.__name__, kind)
    model.double()
    answers = []
    for atoms in molecules():
        inputs = AtomsConverter()(atoms)
        inputs["_positions"] = torch.tensor(atoms.positions)[None]
        inputs = {k: v.double() if v.is_floating_point() else v for k, v in inputs.items()}
        answers.append(model(inputs))
    energies = [answer["energy_U0"].item() for answer in answers]
    forces = [answer["forces"].detach().numpy()[0] for answer in answers]
    save_answers("schnetpack_1", energies, forces, ("schnetpack", "torch", "ase"))


def torch_geometric() -> None:
    """Saved both ways; for the answers its ln 2, rounded to float32, is made exact.

    Its interaction graph needs a compiled extension: a plain one is used.
    """
    from torch_geometric.nn import SchNet
    from torch_geometric.nn.models.schnet import ShiftedSoftplus

    model = SchNet(
        hidden_channels=N_FEATURES,
        num_filters=N_FEATURES,
        num_interactions=N_INTERACTIONS,
        num_gaussians=N_RBF,
        cutoff=CUTOFF,
        mean=-1.25,
        std=0.75,
        atomref=atom_references()[:, None],
    ).eval()
    randomize_biases(model)
    torch.save(model, FOLDER / "torch_geometric_model.pt")
    torch.save(model.state_dict(), FOLDER / "torch_geometric_state.pt")
    del model.interaction_graph
    model.double().interaction_graph = _neighbors
    for module in model.modules():
        if isinstance(module, ShiftedSoftplus):
            module.shift = math.log(2.0)
    energies, forces = [], []
    for atoms in molecules():
        positions = torch.tensor(atoms.positions, requires_grad=True)
        energy = model(torch.tensor(atoms.numbers), positions)
        energies.append(energy.item())
        forces.append(-torch.autograd.grad(energy, positions)[0].numpy())
    save_answers("torch_geometric", energies, forces, ("torch_geometric", "torch", "ase"))


def _neighbors(positions: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    atoms = torch.arange(len(positions))
    source, target = torch.cartesian_prod(atoms, atoms).T
    source, target = source[source != target], target[source != target]
    distances = (positions[source] - positions[target]).norm(dim=-1)
    near = distances < CUTOFF
    return torch.stack([source[near], target[near]]), distances[near]


if __name__ == "__main__":
    torch.manual_seed(22)
    FOLDER.mkdir(exist_ok=True)
    {"schnetpack2": schnetpack2, "schnetpack1": schnetpack1, "torch_geometric": torch_geometric}[
        sys.argv[1]
    ]()
