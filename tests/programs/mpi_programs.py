"""The MPI program of the OpenMPI and MPICH tests: a ring, collectives, one-sided access, large messages."""

import os
import subprocess

SOURCE = r"""
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  int rank, size;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (argc > 1 && rank == size - 1) {
    MPI_Abort(MPI_COMM_WORLD, atoi(argv[1]));
  }
  int token = rank;
  for (int round = 0; round < 50; round++) {
    MPI_Sendrecv_replace(&token, 1, MPI_INT, (rank + 1) % size, 0, (rank + size - 1) % size, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  }
  long value = (rank + 1) * (rank + 1), sum = 0;
  MPI_Allreduce(&value, &sum, 1, MPI_LONG, MPI_SUM, MPI_COMM_WORLD);
  // Large enough for the single-copy path, which reads another process' memory by its pid.
  size_t length = 1 << 20;
  unsigned char *mine = malloc(length), *theirs = malloc(length);
  memset(mine, rank + 1, length);
  MPI_Request requests[2];
  MPI_Irecv(theirs, (int)length, MPI_BYTE, (rank + size - 1) % size, 1, MPI_COMM_WORLD, &requests[0]);
  MPI_Isend(mine, (int)length, MPI_BYTE, (rank + 1) % size, 1, MPI_COMM_WORLD, &requests[1]);
  MPI_Waitall(2, requests, MPI_STATUSES_IGNORE);
  int good = 1;
  for (size_t i = 0; i < length; i++) {
    good &= theirs[i] == (rank + size - 1) % size + 1;
  }
  int all = 0, *gathered = calloc((size_t)size, sizeof(int));
  MPI_Reduce(&good, &all, 1, MPI_INT, MPI_SUM, 0, MPI_COMM_WORLD);
  MPI_Gather(&token, 1, MPI_INT, gathered, 1, MPI_INT, 0, MPI_COMM_WORLD);
  int pid = getpid(), *pids = calloc((size_t)size, sizeof(int)), distinct = 1;
  MPI_Gather(&pid, 1, MPI_INT, pids, 1, MPI_INT, 0, MPI_COMM_WORLD);
  MPI_Win window;
  int *shared;
  MPI_Comm node;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  MPI_Win_allocate_shared(sizeof(int), sizeof(int), MPI_INFO_NULL, node, &shared, &window);
  MPI_Win_fence(0, window);
  *shared = rank * 10;
  MPI_Win_fence(0, window);
  int total = 0;
  for (int r = 0; r < size; r++) {
    MPI_Aint bytes;
    int unit, *part;
    MPI_Win_shared_query(window, r, &bytes, &unit, &part);
    total += *part;
  }
  MPI_Win_fence(0, window);
  MPI_Win_free(&window);
  if (rank == 0) {
    printf("ranks %d, sum %ld, large messages right %d, shared %d, tokens", size, sum, all, total);
    for (int r = 0; r < size; r++) {
      printf(" %d", gathered[r]);
      for (int s = 0; s < r; s++) {
        distinct &= pids[r] != pids[s];
      }
    }
    printf(", pids distinct %d\n", distinct);
  }
  MPI_Finalize();
  return 0;
}
"""


def build(compiler):
    """What fills a work dir with the program, built by this MPI's compiler driver."""

    def prepare(directory):
        source = os.path.join(directory, "ring.c")
        with open(source, "w") as file:
            file.write(SOURCE)
        subprocess.run([compiler, "-O1", "-o", os.path.join(directory, "ring"), source], check=True, capture_output=True)

    return prepare
