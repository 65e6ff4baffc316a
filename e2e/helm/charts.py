"""Small charts, written where a test wants them."""

from pathlib import Path

_SHOP = {
    "values.yaml": """
replicas: 1
greeting: hello
selector: {}
testExit: 0
""",
    "templates/_names.tpl": """
{{- define "shop.labels" -}}
app.kubernetes.io/name: shop
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
""",
    "templates/config.yaml": """
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
  labels: {{- include "shop.labels" . | nindent 4 }}
data:
  greeting: {{ .Values.greeting | quote }}
  {{- if .Capabilities.APIVersions.Has "apps/v1/Deployment" }}
  deployments: "yes"
  {{- end }}
  kubernetes: {{ .Capabilities.KubeVersion.Minor | quote }}
  {{- $earlier := lookup "v1" "ConfigMap" .Release.Namespace "earlier" }}
  found: {{ if $earlier }}{{ $earlier.data.word }}{{ else }}nothing{{ end }}
""",
    "templates/workload.yaml": """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
  labels: {{- include "shop.labels" . | nindent 4 }}
spec:
  replicas: {{ .Values.replicas }}
  progressDeadlineSeconds: 600
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec:
      serviceAccountName: {{ .Release.Name }}
      terminationGracePeriodSeconds: 0
      nodeSelector: {{- toYaml .Values.selector | nindent 8 }}
      containers: [{name: web, image: "example.com/web:v1", ports: [{containerPort: 8080}]}]
---
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}}
spec:
  selector: {app: {{ .Release.Name }}}
  ports: [{port: 80, targetPort: 8080}]
""",
    "templates/access.yaml": """
apiVersion: v1
kind: ServiceAccount
metadata: {name: {{ .Release.Name }}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: {{ .Release.Name }}}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: {{ .Release.Name }}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ .Release.Name }}}
subjects: [{kind: ServiceAccount, name: {{ .Release.Name }}, namespace: {{ .Release.Namespace }}}]
""",
    "templates/hooks.yaml": """
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-before
  annotations:
    helm.sh/hook: pre-install,pre-upgrade
    helm.sh/hook-delete-policy: before-hook-creation
data: {revision: {{ .Release.Revision | quote }}}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-after
  annotations:
    helm.sh/hook: post-install
    helm.sh/hook-weight: "5"
    helm.sh/hook-delete-policy: hook-succeeded
---
apiVersion: v1
kind: Secret
metadata:
  name: {{ .Release.Name }}-kept
  annotations: {helm.sh/resource-policy: keep}
stringData: {a: b}
""",
    "templates/tests/reachable.yaml": """
apiVersion: v1
kind: Pod
metadata:
  name: {{ .Release.Name }}-test
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation
spec:
  restartPolicy: Never
  containers:
    - name: test
      image: example.com/tools
      command: [sh, -c, "echo tested; exit {{ .Values.testExit }}"]
""",
    "templates/NOTES.txt": """
{{ .Release.Name }} says {{ .Values.greeting }} from {{ .Release.Namespace }},
revision {{ .Release.Revision }}.
""",
}

_DEFINED = {
    "crds/widgets.yaml": """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: {type: object, properties: {size: {type: integer}}}
""",
    "templates/widget.yaml": """
apiVersion: example.com/v1
kind: Widget
metadata: {name: {{ .Release.Name }}}
spec: {size: 3}
""",
}

_TASKS = {
    "templates/job.yaml": """
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-migrate
  annotations:
    helm.sh/hook: pre-install,pre-upgrade
    helm.sh/hook-delete-policy: before-hook-creation
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: migrate, image: example.com/task, command: [sleep, "1"]}]
""",
    "templates/database.yaml": """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: {{ .Release.Name }}-db}
spec:
  serviceName: {{ .Release.Name }}-db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: db, image: example.com/db}]
""",
}


def _write(folder: Path, name: str, files: dict[str, str]) -> Path:
    chart = folder / name
    described = f"apiVersion: v2\nname: {name}\nversion: 0.1.0\nappVersion: '1'\n"
    for path, text in {"Chart.yaml": described, **files}.items():
        target = chart / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.lstrip("\n"))
    return chart


def shop(folder: Path) -> Path:
    """A web shop: Deployment, Service, access rules, hooks, a test, notes, a lookup."""
    return _write(folder, "shop", _SHOP)


def defined(folder: Path) -> Path:
    """A CustomResourceDefinition and an object of it."""
    return _write(folder, "defined", _DEFINED)


def tasks(folder: Path) -> Path:
    """A Job as a hook, and a StatefulSet."""
    return _write(folder, "tasks", _TASKS)
