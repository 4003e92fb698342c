"""SchNet with tabulated filters: in torch and compiled for the CPU."""
