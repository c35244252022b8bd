"""The parts of ``flow plugins check``, a module for each kind of check."""
