"""SchNet for molecules on CUDA devices; see `docs/gpu.md`."""
