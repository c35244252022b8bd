"""A Kubernetes API server for tests, with what makes a cluster of it: controllers, scheduler, kubelets.

It speaks HTTP as a real one does, so that the official client and kubectl use it unchanged; its pods are
processes of this machine. It stands in for a cluster where there is none; every test that uses it can run
against a real one too, by the variable ``FLOW_TEST_KUBECONFIG``.

========================  ==============================================================================
`handle`                  what tests hold of it
`admin`, `faults`         what tests let happen: OOM kills, evictions, lost nodes, 429, 410, restarts
`main`, `cluster`         the process, and its parts put together
`http`, `api`             requests, and what is done with each
`discovery`, `tables`     what clients ask first, and how kubectl shows objects
`access`                  who may do what
`watches`                 changes as they happen
`kinds`, `schema`         which objects there are, and their fields, from the published OpenAPI
`rules`, `defaults`       what they must fulfil, and what is filled in
`registry`, `admission`   how they come to be, change and go; namespaces, quotas, priorities
`store`                   all objects and their versions
`jobs`, `garbage`         controllers: jobs; what goes with its owner, namespace or node
`scheduler`, `nodes`      where pods run; what becomes of them when a node is lost
`kubelet`, `podworker`    runs pods: images, init containers, restarts, exit codes, deletion
`processes`, `places`     containers as processes, with volumes in mount namespaces
`podmanruntime`           containers by podman, from real images: the setting ``podman``
`simulated`               containers as timers, for tests of scale
========================  ==============================================================================

Not offered: exec, attach, port-forward, probes, networks of pods (they share this machine's), image contents
(containers see this machine's files), sidecars, limit ranges, success policies of jobs, authentication;
server-side apply, and protobuf, which some commands of kubectl send (``kubectl run``, ``kubectl create
job``): these are answered 415, while ``kubectl apply`` and all that shows, waits and deletes is fine.
"""
