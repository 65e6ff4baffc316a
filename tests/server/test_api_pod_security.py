"""Pod security as clients meet it: refusals, warnings, labels."""

from typing import Any

PREFIX = "pod-security.kubernetes.io/"


async def namespace(api: Any, name: str, **modes: str) -> str:
    labels = {f"{PREFIX}{mode}": level for mode, level in modes.items()}
    meta = {"name": name, "labels": labels}
    assert (await api.admin("POST", "/api/v1/namespaces", {"metadata": meta})).status == 201
    account = {"metadata": {"name": "default"}}
    await api.admin("POST", f"/api/v1/namespaces/{name}/serviceaccounts", account)
    return name


def pod(name: str, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "i"}]
    return {"metadata": {"name": name}, "spec": {"containers": containers, **spec}}


async def test_enforced_and_warned(api):
    await namespace(api, "safe", enforce="baseline", warn="restricted")
    path = "/api/v1/namespaces/safe/pods"
    answer = await api.admin("POST", path, pod("a", hostPID=True))
    assert (answer.status, answer.message) == (
        403,
        'pods "a" is forbidden: violates PodSecurity "baseline:latest": host namespaces '
        "(hostPID=true)",
    )
    answer = await api.admin("POST", path, pod("b"))
    assert answer.status == 201
    assert 'would violate PodSecurity \\"restricted:latest\\"' in answer.headers["warning"]


async def test_templates_are_only_warned_of(api):
    await namespace(api, "safe", enforce="baseline")
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod("x", hostPID=True)["spec"]}
    body = {
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    answer = await api.admin("POST", "/apis/apps/v1/namespaces/safe/deployments", body)
    assert answer.status == 201
    assert "host namespaces" in answer.headers["warning"]


async def test_tightening_tells_of_pods_that_are_there(api):
    await namespace(api, "loose")
    await api.admin("POST", "/api/v1/namespaces/loose/pods", pod("a", hostPID=True))
    patch = {"metadata": {"labels": {f"{PREFIX}enforce": "baseline"}}}
    headers = {"content-type": "application/merge-patch+json"}
    answer = await api.admin("PATCH", "/api/v1/namespaces/loose", patch, headers)
    assert answer.status == 200
    assert "a: host namespaces" in answer.headers["warning"]
    bad = {"metadata": {"labels": {f"{PREFIX}enforce": "x"}}}
    answer = await api.admin("PATCH", "/api/v1/namespaces/loose", bad, headers)
    assert answer.status == 422
