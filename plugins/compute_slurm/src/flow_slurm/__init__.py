"""flow-slurm: runs steps as Slurm jobs: the slurm decorator and the slurm command."""
