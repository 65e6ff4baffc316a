"""Every namespace has the ConfigMap `kube-root-ca.crt`, by which pods trust the API server."""
