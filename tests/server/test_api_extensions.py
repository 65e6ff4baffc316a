"""What a cluster has of API services and flow control, and the old view of its components."""

FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1"
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"


async def test_every_group_version_has_an_available_service(api):
    found = (await api.admin("GET", SERVICES)).body["items"]
    groups = (await api.admin("GET", "/apis")).body["groups"]
    versions = [(group["name"], item["version"]) for group in groups for item in group["versions"]]
    named = {f"{version}.{group}" for group, version in [("", "v1"), *versions]}
    # The group of the services themselves is served by the aggregator alone.
    named.remove("v1.apiregistration.k8s.io")
    assert {item["metadata"]["name"] for item in found} == named
    for item in found:
        (condition,) = item["status"]["conditions"]
        assert (condition["type"], condition["status"], condition["reason"]) == (
            "Available", "True", "Local",
        )  # fmt: skip


async def test_every_flow_schema_finds_its_level(api):
    levels = (await api.admin("GET", f"{FLOW}/prioritylevelconfigurations")).body["items"]
    names = {level["metadata"]["name"] for level in levels}
    schemas = (await api.admin("GET", f"{FLOW}/flowschemas")).body["items"]
    assert {s["spec"]["priorityLevelConfiguration"]["name"] for s in schemas} == names
    assert all(s["status"]["conditions"][0]["status"] == "False" for s in schemas)


async def test_the_mandatory_objects_keep_their_spec(api):
    path = f"{FLOW}/flowschemas/catch-all"
    found = (await api.admin("GET", path)).body
    assert (await api.admin("PUT", path, found)).status == 200
    found["spec"]["matchingPrecedence"] = 9999
    answer = await api.admin("PUT", path, found)
    assert answer.status == 422
    assert "spec of 'catch-all' must equal the fixed value" in answer.message


async def test_exempt_may_lend_more_but_not_change_otherwise(api):
    path = f"{FLOW}/prioritylevelconfigurations/exempt"
    found = (await api.admin("GET", path)).body
    found["spec"]["exempt"]["lendablePercent"] = 50
    assert (await api.admin("PUT", path, found)).status == 200


async def test_components_are_told_of_but_not_stored(api):
    path = "/api/v1/componentstatuses"
    listed = await api.admin("GET", path)
    assert listed.headers["warning"] == '299 - "v1 ComponentStatus is deprecated in v1.19+"'
    assert [item["metadata"]["name"] for item in listed.body["items"]] == [
        "scheduler", "controller-manager", "etcd-0",
    ]  # fmt: skip
    one = (await api.admin("GET", f"{path}/etcd-0")).body
    assert one["conditions"] == [{"type": "Healthy", "status": "True", "message": "ok"}]
    assert (await api.admin("GET", f"{path}/nothing")).status == 404
    assert (await api.admin("POST", path, {"metadata": {"name": "x"}})).status == 405


async def test_a_stale_lease_makes_a_component_unhealthy(api):
    spec = {"holderIdentity": "one", "renewTime": "2020-01-01T00:00:00.000000Z"}
    lease = {"metadata": {"name": "kube-scheduler"}, "spec": spec}
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
    assert (await api.admin("POST", leases, lease)).status == 201
    found = (await api.admin("GET", "/api/v1/componentstatuses/scheduler")).body
    assert found["conditions"][0]["status"] == "False"


async def test_old_and_new_autoscalers_are_the_same_object(api, namespace):
    path = "/apis/autoscaling/{}/namespaces/" + namespace + "/horizontalpodautoscalers"
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    spec = {"scaleTargetRef": target, "maxReplicas": 3, "targetCPUUtilizationPercentage": 70}
    created = await api.admin("POST", path.format("v1"), {"metadata": {"name": "h"}, "spec": spec})
    assert created.status == 201
    new = (await api.admin("GET", path.format("v2") + "/h")).body
    resource = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    assert new["spec"]["metrics"] == [{"type": "Resource", "resource": resource}]
    resource["target"]["averageUtilization"] = 50
    new["spec"]["metrics"] = [{"type": "Resource", "resource": resource}]
    assert (await api.admin("PUT", path.format("v2") + "/h", new)).status == 200
    listed = (await api.admin("GET", path.format("v1"))).body["items"]
    assert listed[0]["spec"]["targetCPUUtilizationPercentage"] == 50


async def test_admin_access_needs_the_label_of_the_namespace(api, namespace):
    path = f"/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaims"
    exactly = {"deviceClassName": "gpu", "adminAccess": True}
    spec = {"devices": {"requests": [{"name": "a", "exactly": exactly}]}}
    body = {"metadata": {"name": "c"}, "spec": spec}
    answer = await api.admin("POST", path, body)
    assert (answer.status, answer.body["details"]["causes"][0]["field"]) == (
        422, "spec.devices.requests[0].adminAccess",
    )  # fmt: skip
    label = {"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}}
    headers = {"content-type": "application/merge-patch+json"}
    await api.admin("PATCH", f"/api/v1/namespaces/{namespace}", label, headers)
    assert (await api.admin("POST", path, body)).status == 201
