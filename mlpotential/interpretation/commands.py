"""The sub-commands of `mlpotential interpret`, each in a file of its own."""

from mlpotential.command_line import Command

KINDS = {
    "chemical-potential": (
        "mlpotential.interpretation.field_commands:CHEMICAL_POTENTIAL",
        "what an atom would contribute to the energy anywhere near a molecule or in a crystal",
    ),
    "electrostatic-potential": (
        "mlpotential.interpretation.field_commands:ELECTROSTATIC_POTENTIAL",
        "potential of the latent charges that a model makes dipole moments of",
    ),
}
INTERPRET = Command.family(
    KINDS,
    "  mlpotential interpret chemical-potential model.safetensors benzene.xyz --probe C "
    "--folder benzene\n"
    "  mlpotential interpret electrostatic-potential model.safetensors benzene.xyz "
    "--folder benzene_esp",
)
