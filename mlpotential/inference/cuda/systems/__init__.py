"""SchNet for structures of any size, periodic or not, in a row of CUDA kernels."""
