"""flow-runner: runner and NBRunner: start flows from Python and follow them."""
