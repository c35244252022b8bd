"""flow-container: runs steps in containers of podman or Docker: the container decorator."""
