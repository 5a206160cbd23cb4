"""OpenMPI: jobs of four ranks on one machine, over shared memory and over TCP, and aborted ones."""

import sys

import mpi_programs
from harness import Suite, script

SCRIPT = r"""
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
export OMPI_MCA_plm=isolated OMPI_MCA_btl_base_warn_component_unused=0 OMPI_MCA_pml=ob1 OMPI_MCA_mpi_yield_when_idle=1
# Not /dev/shm: the names there are made of mpirun's pid, which is the same in several sandboxes while they share a /dev/shm.
export OMPI_MCA_btl_vader_backing_directory=$TMPDIR
for btl in self,vader self,tcp; do
  echo "== $btl"
  mpirun.openmpi --mca btl $btl --mca btl_tcp_if_include lo -n 4 ./ring; echo $?
done
mpirun.openmpi --mca btl self,vader -n 3 ./ring 9 > /dev/null 2>&1; echo aborted $?
mpirun.openmpi --mca btl self,vader -n 3 sh -c 'echo rank $OMPI_COMM_WORLD_RANK of $OMPI_COMM_WORLD_SIZE' | sort
mpirun.openmpi -n 2 sh -c 'kill -KILL $$' > /dev/null 2>&1; echo killed $?
"""

suite = Suite("OpenMPI").needs("openmpi-bin", "mpirun.openmpi").needs("libopenmpi-dev", "mpicc.openmpi").needs("gcc", "gcc")
suite.add(script("jobs", SCRIPT, prepare=mpi_programs.build("mpicc.openmpi"), timeout=90))
sys.exit(suite.main())
