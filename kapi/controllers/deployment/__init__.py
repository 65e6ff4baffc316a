"""Deployment: moves pods from old ReplicaSets to the one that has the current template.

`plan` decides (pure), `controller` observes and acts. Source: k8s.io/kubernetes
`pkg/controller/deployment`.
"""
