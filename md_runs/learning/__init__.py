"""From a molecule to a force field that can be trusted: labels where the force field is in doubt.

settings -> first_structures (round 0) -> per round: training -> watched_runs -> selection
-> labels -> assessment; `study` goes through them, `report` tells what came of it.
"""
