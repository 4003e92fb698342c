from mlpotential.interruption import *  # temporary
