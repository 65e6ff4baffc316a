"""The official helm 4: its release Secrets are protobuf, its objects server-side apply."""

from pathlib import Path

import pytest
from harness import Client

_CHART = """
apiVersion: v2
name: demo
version: 0.1.0
"""
_VALUES = """
replicas: 1
greeting: hello
"""
_TEMPLATE = """
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {greeting: {{ .Values.greeting | quote }}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: web
          image: kapi-test/web:v1
          readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
"""


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    folder = tmp_path / "demo"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text(_CHART)
    (folder / "values.yaml").write_text(_VALUES)
    (folder / "templates" / "all.yaml").write_text(_TEMPLATE)
    return folder


def test_install_upgrade_rollback_uninstall(helm: Client, kubectl: Client, chart: Path) -> None:
    release = helm.within(kubectl.namespace)
    release("install", "demo", str(chart), "--wait", "--timeout", "60s", timeout_s=90)
    assert kubectl.json("get", "deployment", "demo")["status"]["readyReplicas"] == 1

    upgrade = ["--set", "greeting=bye", "--wait", "--timeout", "60s"]
    release("upgrade", "demo", str(chart), *upgrade, timeout_s=90)
    assert kubectl.json("get", "configmap", "demo")["data"] == {"greeting": "bye"}

    release("rollback", "demo", "1", timeout_s=90)
    assert kubectl.json("get", "configmap", "demo")["data"] == {"greeting": "hello"}
    revisions = [item["revision"] for item in release.json("history", "demo")]
    assert revisions == [1, 2, 3]

    release("uninstall", "demo", "--wait", "--timeout", "60s", timeout_s=90)
    left = kubectl("get", "configmap,deployment,secret", "-o", "name").split()
    assert left == ["configmap/kube-root-ca.crt"]
