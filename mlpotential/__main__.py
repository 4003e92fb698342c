"""`python -m mlpotential` is the command `mlpotential`, which `torchrun` starts in this form."""

from mlpotential.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
