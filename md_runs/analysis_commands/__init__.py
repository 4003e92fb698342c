"""What the commands vdos, ir, raman, rdf, distances, path-integrals and report do.

Each analysis turns `RunView`s into `Findings`, which are printed, saved, or put on a page; the
command line is in `md_runs.analysis_cli`. None of it needs torch.
"""
