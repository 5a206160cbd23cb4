"""MPICH: jobs of four ranks on one machine under its process manager, and aborted ones."""

import sys

import mpi_programs
from harness import Suite, script

SCRIPT = r"""
export HYDRA_LAUNCHER=fork
mpirun.mpich -n 4 ./ring; echo $?
mpirun.mpich -n 3 ./ring 9 > /dev/null 2>&1; echo aborted $?
mpirun.mpich -n 3 sh -c 'echo rank $PMI_RANK of $PMI_SIZE' | sort
mpirun.mpich -n 2 ./ring : -n 1 ./ring; echo $?
# 9 or 255, by whichever of the ranks' ends the proxy hears of first.
mpirun.mpich -n 2 sh -c 'kill -KILL $$' > /dev/null 2>&1 || echo killed
echo input | mpirun.mpich -n 1 cat
"""

suite = Suite("MPICH").needs("mpich", "mpirun.mpich").needs("libmpich-dev", "mpicc.mpich").needs("gcc", "gcc")
suite.add(script("jobs", SCRIPT, prepare=mpi_programs.build("mpicc.mpich"), timeout=90))
sys.exit(suite.main())
