"""`kubectl create`: every generator (protobuf bodies), and the ways to create from files."""

import base64
import json
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from harness import Client, CommandFailed
from meaning import assert_holds

from kapi import env

_ONE_HOUR_S = 3600


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# What to give `create`, and what must then be there. Each is created as a dry run first.
GENERATORS: list[tuple[str, str]] = [
    ("namespace made", "{kind: Namespace, metadata: {name: made, labels: "
     "{kubernetes.io/metadata.name: made}}}"),
    ("configmap made --from-literal=a=b --from-literal=c=d",
     "{kind: ConfigMap, data: {a: b, c: d}}"),
    ("secret generic made --from-literal=a=b --type=example.com/mine",
     f"{{kind: Secret, type: example.com/mine, data: {{a: {_base64('b')}}}}}"),
    ("secret generic plain --from-literal=a=b", "{kind: Secret, type: Opaque}"),
    ("secret docker-registry made --docker-server=registry.example --docker-username=me "
     "--docker-password=sesame --docker-email=me@example.com",
     "{kind: Secret, type: kubernetes.io/dockerconfigjson}"),
    ("serviceaccount made", "{kind: ServiceAccount, metadata: {name: made}}"),
    ("deployment made --image=example.com/web:v1 --replicas=2 --port=8080",
     "{kind: Deployment, spec: {replicas: 2, selector: {matchLabels: {app: made}}, template: "
     "{metadata: {labels: {app: made}}, spec: {restartPolicy: Always, containers: [{name: web, "
     "image: 'example.com/web:v1', imagePullPolicy: IfNotPresent, ports: [{containerPort: 8080, "
     "protocol: TCP}]}]}}}}"),
    ("deployment two --image=a --image=b",
     "{kind: Deployment, spec: {replicas: 1, template: {spec: {containers: [{name: a}, "
     "{name: b}]}}}}"),
    ("deployment sleeper --image=a -- sleep 1d",
     "{kind: Deployment, spec: {template: {spec: {containers: [{command: [sleep, 1d]}]}}}}"),
    ("service clusterip made --tcp=80:8080 --tcp=443",
     "{kind: Service, spec: {type: ClusterIP, selector: {app: made}, sessionAffinity: None, ports: "
     "[{name: 80-8080, port: 80, targetPort: 8080, protocol: TCP}, {name: '443', port: 443, "
     "targetPort: 443}]}}"),
    ("service clusterip headless --clusterip=None",
     "{kind: Service, spec: {clusterIP: None, clusterIPs: [None]}}"),
    ("service nodeport made-nodes --tcp=80 --node-port=30123",
     "{kind: Service, spec: {type: NodePort, externalTrafficPolicy: Cluster, "
     "ports: [{port: 80, nodePort: 30123}]}}"),
    ("service loadbalancer made-balanced --tcp=80:http",
     "{kind: Service, spec: {type: LoadBalancer, allocateLoadBalancerNodePorts: true, "
     "ports: [{port: 80, targetPort: http}]}}"),
    ("service externalname made-elsewhere --external-name=example.com",
     "{kind: Service, spec: {type: ExternalName, externalName: example.com}}"),
    ("job made --image=example.com/task -- date -u",
     "{kind: Job, spec: {backoffLimit: 6, completions: 1, parallelism: 1, template: {spec: "
     "{restartPolicy: Never, containers: [{image: example.com/task, command: [date, -u]}]}}}}"),
    ("cronjob made --image=example.com/task --schedule='*/5 * * * *' --restart=OnFailure -- date",
     "{kind: CronJob, spec: {schedule: '*/5 * * * *', concurrencyPolicy: Allow, suspend: false, "
     "successfulJobsHistoryLimit: 3, failedJobsHistoryLimit: 1, jobTemplate: {spec: {template: "
     "{spec: {restartPolicy: OnFailure}}}}}}"),
    ("role made --verb=get,list --resource=pods,deployments.apps --verb=watch",
     "{kind: Role, rules: [{verbs: [get, list, watch], apiGroups: [''], resources: [pods]}, "
     "{verbs: [get, list, watch], apiGroups: [apps], resources: [deployments]}]}"),
    ("role one-pod --verb=get --resource=pods/log --resource-name=web",
     "{kind: Role, rules: [{resources: [pods/log], resourceNames: [web]}]}"),
    ("clusterrole made --verb=get --resource=nodes",
     "{kind: ClusterRole, rules: [{verbs: [get], apiGroups: [''], resources: [nodes]}]}"),
    ("clusterrole made-paths --verb=get --non-resource-url=/logs/*",
     "{kind: ClusterRole, rules: [{verbs: [get], nonResourceURLs: [/logs/*]}]}"),
    ("clusterrole made-sum --aggregation-rule=example.com/sum=true",
     "{kind: ClusterRole, aggregationRule: {clusterRoleSelectors: "
     "[{matchLabels: {example.com/sum: 'true'}}]}}"),
    ("rolebinding made --role=made --user=alice --group=dev",
     "{kind: RoleBinding, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: made}, "
     "subjects: [{kind: User, name: alice, apiGroup: rbac.authorization.k8s.io}, "
     "{kind: Group, name: dev, apiGroup: rbac.authorization.k8s.io}]}"),
    ("rolebinding made-view --clusterrole=view --serviceaccount=default:robot",
     "{kind: RoleBinding, roleRef: {kind: ClusterRole, name: view}, subjects: "
     "[{kind: ServiceAccount, namespace: default, name: robot, apiGroup: null}]}"),
    ("clusterrolebinding made --clusterrole=view --user=alice",
     "{kind: ClusterRoleBinding, roleRef: {kind: ClusterRole, name: view}}"),
    ("quota made --hard=cpu=2,pods=10 --scopes=NotTerminating",
     "{kind: ResourceQuota, spec: {hard: {cpu: '2', pods: '10'}, scopes: [NotTerminating]}}"),
    ("poddisruptionbudget made --selector=app=made --min-available=50%",
     "{kind: PodDisruptionBudget, spec: {minAvailable: 50%, selector: "
     "{matchLabels: {app: made}}}}"),
    ("priorityclass made --value=1000 --description=mine --preemption-policy=Never",
     "{kind: PriorityClass, value: 1000, globalDefault: null, description: mine, "
     "preemptionPolicy: Never}"),
    ("ingress made --class=proxy --rule=example.com/a*=web:80,tls=cert "
     "--default-backend=web:http --annotation=example.com/x=y",
     "{kind: Ingress, metadata: {annotations: {example.com/x: y}}, spec: {ingressClassName: proxy, "
     "defaultBackend: {service: {name: web, port: {name: http}}}, tls: [{hosts: [example.com], "
     "secretName: cert}], rules: [{host: example.com, http: {paths: [{path: /a, "
     "pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}}"),
]  # fmt: skip


@pytest.mark.parametrize("arguments, expected", GENERATORS, ids=[case[0] for case in GENERATORS])
def test_generator(kubectl: Client, arguments: str, expected: str) -> None:
    arguments = arguments.replace("'*/5 * * * *'", "*/5_*_*_*_*")
    words = [word.replace("_", " ") for word in arguments.split()]
    command = words.index("--") if "--" in words else len(words)
    output = [*words[:command], "--output=json"]
    dry = kubectl("create", *output, "--dry-run=server", *words[command:])
    assert_holds(json.loads(dry), expected)
    shown = [*output, "--show-managed-fields"]
    made = json.loads(kubectl("create", *shown, *words[command:]))
    assert_holds(made, expected)
    kind, name = made["kind"], made["metadata"]["name"]
    # What has nothing but a name has nothing to own.
    for owner in made["metadata"].get("managedFields", ()):
        assert owner["manager"] == "kubectl-create"
    assert_holds(kubectl.json("get", kind, name), expected)


def _certificate() -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "web.example.com")])
    now = env.now()
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now).not_valid_after(now.replace(year=now.year + 1))
    certificate = builder.sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def test_from_files(kubectl: Client, tmp_path: Path) -> None:
    certificate, key = _certificate()
    (tmp_path / "tls.crt").write_text(certificate)
    (tmp_path / "tls.key").write_text(key)
    (tmp_path / "raw").write_bytes(b"\xff\x00")
    (tmp_path / "settings.env").write_text("COLOR=blue\n# a comment\nSIZE=3\n")
    pair = [f"--cert={tmp_path}/tls.crt", f"--key={tmp_path}/tls.key"]
    kubectl("create", "secret", "tls", "pair", *pair)
    secret = kubectl.json("get", "secret", "pair")
    assert secret["type"] == "kubernetes.io/tls"
    assert base64.b64decode(secret["data"]["tls.crt"]).decode() == certificate

    kubectl("create", "configmap", "raw", f"--from-file=named={tmp_path}/raw")
    assert kubectl.json("get", "configmap", "raw")["binaryData"] == {"named": "/wA="}
    kubectl("create", "configmap", "env", f"--from-env-file={tmp_path}/settings.env")
    assert kubectl.json("get", "configmap", "env")["data"] == {"COLOR": "blue", "SIZE": "3"}
    kubectl("create", "secret", "generic", "env", f"--from-env-file={tmp_path}/settings.env")
    assert kubectl.json("get", "secret", "env")["data"]["SIZE"] == _base64("3")
    hashed = kubectl("create", "configmap", "env", "--append-hash", "--from-literal=a=b", "-o=name")
    assert hashed.startswith("configmap/env-")


def test_job_from_cron_job(kubectl: Client) -> None:
    kubectl("create", "cronjob", "nightly", "--image=a", "--schedule=0 3 * * *", "--", "backup")
    kubectl("create", "job", "by-hand", "--from=cronjob/nightly")
    job = kubectl.json("get", "job", "by-hand")
    annotations = job["metadata"]["annotations"]
    assert annotations["cronjob.kubernetes.io/instantiate"] == "manual"
    assert job["metadata"]["ownerReferences"][0]["name"] == "nightly"
    assert job["spec"]["template"]["spec"]["containers"][0]["command"] == ["backup"]


def _claims(token: str) -> dict[str, object]:
    payload = token.strip().split(".")[1]
    decoded: dict[str, object] = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return decoded


def test_token(kubectl: Client) -> None:
    kubectl("create", "serviceaccount", "robot")
    claims = _claims(kubectl("create", "token", "robot"))
    assert claims["sub"] == f"system:serviceaccount:{kubectl.namespace}:robot"
    limited = ["--duration=20m", "--audience=vault", "--audience=other"]
    claims = _claims(kubectl("create", "token", "robot", *limited))
    assert claims["aud"] == ["vault", "other"]
    assert int(str(claims["exp"])) - int(str(claims["iat"])) == 20 * 60
    kubectl("create", "secret", "generic", "bound", "--from-literal=a=b")
    bound = ["--bound-object-kind=Secret", "--bound-object-name=bound"]
    claims = _claims(kubectl("create", "token", "robot", *bound))
    assert_holds(claims, {"kubernetes.io": {"secret": {"name": "bound"}}})
    request = kubectl.json("create", "token", "robot")
    assert request["kind"] == "TokenRequest"
    assert request["spec"]["expirationSeconds"] == _ONE_HOUR_S
    with pytest.raises(CommandFailed, match='serviceaccounts "nobody" not found'):
        kubectl("create", "token", "nobody")
    token = kubectl("create", "token", "robot").strip()
    # The kubeconfig's client certificate would win over a token of the command line.
    who = kubectl("auth", "whoami", "-o", "json", f"--as={_claims(token)['sub']}")
    groups = json.loads(who)["status"]["userInfo"]["groups"]
    assert f"system:serviceaccounts:{kubectl.namespace}" in groups


def _config_map(name: str, **data: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_files_folders_and_lists(kubectl: Client, tmp_path: Path) -> None:
    deeper = tmp_path / "deeper"
    deeper.mkdir()
    two = [_config_map("one", a="1"), _config_map("two", a="2")]
    (tmp_path / "two.yaml").write_text(yaml.safe_dump_all(two))
    (deeper / "three.json").write_text(json.dumps(_config_map("three", a="3")))
    created = kubectl("create", "-f", str(tmp_path), "-o", "name").split()
    assert created == ["configmap/one", "configmap/two"]
    created = kubectl("create", "-R", "-f", str(deeper), "-o", "name").split()
    assert created == ["configmap/three"]
    listed = {"apiVersion": "v1", "kind": "List", "items": [_config_map("four"), _config_map("5")]}
    created = kubectl("create", "-f", "-", "-o", "name", stdin=json.dumps(listed)).split()
    assert created == ["configmap/four", "configmap/5"]
    with pytest.raises(CommandFailed, match="AlreadyExists"):
        kubectl("create", "-f", str(deeper / "three.json"))
    (tmp_path / "kustomization.yaml").write_text("namePrefix: k-\nresources: [two.yaml]\n")
    created = kubectl("create", "-k", str(tmp_path), "-o", "name").split()
    assert created == ["configmap/k-one", "configmap/k-two"]
    rendered = list(yaml.safe_load_all(kubectl("kustomize", str(tmp_path))))
    assert [item["metadata"]["name"] for item in rendered] == ["k-one", "k-two"]


def test_generated_names_and_saved_configuration(kubectl: Client) -> None:
    generated = json.dumps(_config_map("") | {"metadata": {"generateName": "g-"}})
    names = [kubectl("create", "-f", "-", "-o=name", stdin=generated).strip() for _ in range(2)]
    assert len(set(names)) == 2
    assert all(len(name) == len("configmap/g-") + 5 for name in names)
    kubectl("create", "-f", "-", "--save-config", stdin=json.dumps(_config_map("saved")))
    annotations = kubectl.json("get", "configmap", "saved")["metadata"]["annotations"]
    assert "kubectl.kubernetes.io/last-applied-configuration" in annotations


def test_raw_bodies_have_no_content_type(kubectl: Client) -> None:
    path = f"/api/v1/namespaces/{kubectl.namespace}/configmaps"
    made = kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(_config_map("raw", a="b")))
    changed = json.loads(made)
    changed["data"]["a"] = "c"
    kubectl("replace", "--raw", f"{path}/raw", "-f", "-", stdin=json.dumps(changed))
    assert json.loads(kubectl("get", "--raw", f"{path}/raw"))["data"] == {"a": "c"}
    assert json.loads(kubectl("delete", "--raw", f"{path}/raw"))["status"] == "Success"


def test_validation_strict_warn_and_ignore(kubectl: Client) -> None:
    wrong = json.dumps(_config_map("wrong") | {"dat": {"a": "b"}})
    with pytest.raises(CommandFailed, match='unknown field "dat"'):
        kubectl("create", "-f", "-", stdin=wrong)
    warned = kubectl.run("create", "--validate=warn", "-f", "-", stdin=wrong)
    assert 'Warning: unknown field "dat"' in warned.stderr
    kubectl("delete", "configmap", "wrong")
    quiet = kubectl.run("create", "--validate=false", "-f", "-", stdin=wrong)
    assert not quiet.stderr
    twice = '{"metadata": {"name": "twice"}, "data": {"a": "1", "a": "2"}}'
    path = f"/api/v1/namespaces/{kubectl.namespace}/configmaps?fieldValidation=Strict"
    with pytest.raises(CommandFailed, match=r'duplicate field "data\.a"'):
        kubectl("create", "--raw", path, "-f", "-", stdin=twice)


def test_dry_run_client_asks_nothing(kubectl: Client) -> None:
    made = kubectl("create", "configmap", "dry", "--from-literal=a=b", "--dry-run=client", "-oyaml")
    assert yaml.safe_load(made)["data"] == {"a": "b"}
    assert not kubectl("get", "configmap", "dry", "--ignore-not-found")


def test_create_edit(kubectl: Client, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/before/after/' \"$1\"\n")
    editor.chmod(0o755)
    edited = Client(kubectl.program, {**kubectl.environment, "EDITOR": str(editor)})
    edited = edited.within(kubectl.namespace)
    edited("create", "--edit", "-f", "-", stdin=json.dumps(_config_map("edited", a="before")))
    assert kubectl.json("get", "configmap", "edited")["data"] == {"a": "after"}
