"""The plugins command, which lists what is installed."""
