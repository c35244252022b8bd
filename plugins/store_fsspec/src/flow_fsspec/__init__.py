"""flow-fsspec: stores on whatever filesystem fsspec knows."""
