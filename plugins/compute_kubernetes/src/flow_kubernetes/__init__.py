"""flow-kubernetes: runs steps as Kubernetes jobs: the kubernetes decorator and the kubernetes command."""
