"""`mlpotential interpret`: which kinds there are. Free of torch until the files are there."""

from __future__ import annotations

from mlpotential.command_line import Command

KINDS = {
    "chemical-potential": (
        "mlpotential.interpretation.fields.commands:CHEMICAL_POTENTIAL",
        "what an atom would contribute to the energy anywhere near a molecule or in a crystal",
    ),
    "electrostatic-potential": (
        "mlpotential.interpretation.fields.commands:ELECTROSTATIC_POTENTIAL",
        "potential of the latent charges that a model makes dipole moments of",
    ),
    "atoms": (
        "mlpotential.interpretation.atoms.atoms_command:ATOMS",
        "energies and charges of atoms: distributions by element and model, parts of a molecule",
    ),
    "rings": (
        "mlpotential.interpretation.atoms.rings_command:RINGS",
        "energies of six-membered carbon rings, and pictures of the most stable",
    ),
    "dimers": (
        "mlpotential.interpretation.atoms.dimers_command:DIMERS",
        "the energy of two atoms alone by their distance",
    ),
    "map": (
        "mlpotential.interpretation.atoms.map_command:MAP",
        "final features of atoms on two principal components",
    ),
    "embeddings": (
        "mlpotential.interpretation.network.commands:EMBEDDINGS",
        "embeddings of elements on two principal components, and how alike they are",
    ),
    "filters": (
        "mlpotential.interpretation.network.commands:FILTERS",
        "filters of a SchNet by distance, and cuts through them in a structure",
    ),
    "activations": (
        "mlpotential.interpretation.network.commands:ACTIVATIONS",
        "shifted softplus and ELU with two derivatives",
    ),
    "basis": (
        "mlpotential.interpretation.network.commands:BASIS",
        "the bond of H2 fitted by distances and by Gaussians of them",
    ),
}
EXAMPLES = (
    "  mlpotential interpret chemical-potential model.safetensors benzene.xyz --probe C "
    "--folder benzene\n"
    "  mlpotential interpret electrostatic-potential model.safetensors benzene.xyz "
    "--folder benzene_esp\n"
    "  mlpotential interpret atoms model.safetensors --data qm9 --folder atoms\n"
    "  mlpotential interpret rings model.safetensors --data qm9 --folder rings\n"
    "  mlpotential interpret embeddings model.safetensors --folder embeddings\n"
    "  mlpotential interpret filters model.safetensors --structure diamond.cif --folder filters\n"
    "  mlpotential interpret dimers model.safetensors --elements C C --folder dimers"
)
INTERPRET = Command.family(KINDS, EXAMPLES)
