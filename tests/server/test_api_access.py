"""Who gets in, who may do what, and what the plain endpoints answer."""

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


async def test_anonymous_requests_reach_health_and_version_only(api):
    for path in ("/healthz", "/livez", "/readyz", "/version"):
        assert (await api.nobody("GET", path)).status == 200
    for path in (CONFIG_MAPS, "/api", "/apis", "/openapi/v2", "/metrics"):
        answer = await api.nobody("GET", path)
        assert (answer.status, answer.body["reason"]) == (401, "Unauthorized")


async def test_static_tokens_are_checked(api):
    good = await api.nobody("GET", CONFIG_MAPS, headers={"authorization": "Bearer T1"})
    bad = await api.nobody("GET", CONFIG_MAPS, headers={"authorization": "Bearer nope"})
    assert (good.status, bad.status) == (200, 401)


async def test_rbac_refuses_and_grants(api):
    refused = await api.alice("GET", CONFIG_MAPS)
    assert refused.status == 403
    assert refused.message == (
        'configmaps is forbidden: User "alice" cannot list resource "configmaps" '
        'in API group "" in the namespace "default"'
    )
    binding = {
        "metadata": {"name": "readers"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "view",
        },
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "dev"}],
    }
    path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
    assert (await api.admin("POST", path, binding)).status == 201
    assert (await api.alice("GET", CONFIG_MAPS)).status == 200
    assert (await api.alice("GET", "/api/v1/namespaces/kube-system/configmaps")).status == 403


async def test_nobody_hands_out_rights_they_do_not_have(api):
    role = {
        "metadata": {"name": "editor-of-roles"},
        "rules": [
            {
                "apiGroups": ["rbac.authorization.k8s.io"],
                "resources": ["roles"],
                "verbs": ["create"],
            }
        ],
    }
    group = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    await api.admin("POST", f"{group}/roles", role)
    binding = {
        "metadata": {"name": "editor-of-roles"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": "editor-of-roles",
        },
        "subjects": [{"kind": "User", "name": "alice", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    await api.admin("POST", f"{group}/rolebindings", binding)
    greedy = {
        "metadata": {"name": "greedy"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
    }
    answer = await api.alice("POST", f"{group}/roles", greedy)
    assert answer.status == 403
    assert "attempting to grant RBAC permissions not currently held" in answer.message


async def test_impersonation_needs_permission_and_then_changes_the_user(api):
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    answer = await api.admin("POST", path, review, {"impersonate-user": "zoe"})
    assert answer.body["status"]["userInfo"]["username"] == "zoe"
    refused = await api.alice("POST", path, review, {"impersonate-user": "zoe"})
    assert refused.status == 403


async def test_a_service_account_token_lives_and_dies_with_its_account(api, namespace):
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    issued = await api.admin("POST", f"{account}/token", {"spec": {"expirationSeconds": 600}})
    assert issued.status == 201
    bearer = {"authorization": f"Bearer {issued.body['status']['token']}"}
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    me = await api.nobody("POST", path, review, bearer)
    assert me.body["status"]["userInfo"]["username"] == (
        f"system:serviceaccount:{namespace}:default"
    )
    await api.admin("DELETE", account)
    assert (await api.nobody("POST", path, review, bearer)).status == 401


async def test_discovery_is_aggregated_on_request_and_plain_otherwise(api):
    accept = {"accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    core = await api.admin("GET", "/api", headers=accept)
    assert core.headers["content-type"] == (
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    )
    kinds = {row["resource"] for row in core.body["items"][0]["versions"][0]["resources"]}
    assert {"pods", "services", "configmaps", "events"} <= kinds
    assert (await api.admin("GET", "/api")).body["kind"] == "APIVersions"
    rows = (await api.admin("GET", "/api/v1")).body["resources"]
    eviction = next(row for row in rows if row["name"] == "pods/eviction")
    assert (eviction["group"], eviction["version"]) == ("policy", "v1")


async def test_every_row_of_the_table_is_in_discovery_and_can_be_listed(api):
    for (qualified, version), store in api.server.api.stores.items():
        row = store.resource
        root = f"/apis/{row.group}/{version}" if row.group else f"/api/{version}"
        listed = {item["name"] for item in (await api.admin("GET", root)).body["resources"]}
        assert row.plural in listed, qualified
        if "list" in row.verbs and not row.create_only:
            answer = await api.admin("GET", f"{root}/{row.plural}")
            assert (answer.status, answer.body["kind"]) == (200, row.list_kind)


async def test_a_fault_hides_its_trace_and_leaves_a_number(api, monkeypatch, caplog):
    async def broken(*_arguments):
        raise RuntimeError("secret detail")

    store = api.server.api.store_of("configmaps")
    monkeypatch.setattr(type(store), "fresh", broken)
    answer = await api.admin("GET", CONFIG_MAPS)
    assert (answer.status, answer.body["reason"]) == (500, "InternalError")
    assert "secret detail" not in answer.message
    assert "secret detail" in caplog.text


async def test_requests_are_counted_under_upstreams_names(api, namespace):
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await api.admin("GET", path)
    await api.admin("GET", f"{path}/nope")
    await api.admin("GET", "/apis/scanner.example/v1/xyz")
    text = (await api.admin("GET", "/metrics")).body
    listed = (
        'apiserver_request_total{code="200",component="apiserver",group="",resource="configmaps",'
        'scope="namespace",subresource="",verb="LIST",version="v1"}'
    )
    assert listed in text
    assert (
        'code="404",component="apiserver",group="",resource="configmaps",scope="resource"' in text
    )
    assert "apiserver_request_duration_seconds_bucket" in text
    assert "scanner.example" not in text


async def test_metrics_do_not_grow_with_what_is_refused(api):
    for word in ("scanner-a", "scanner-b"):
        assert (await api.nobody("GET", f"/apis/{word}/v1/{word}")).status == 401
        assert (await api.alice("GET", f"/api/v1/namespaces/{word}/pods/x/{word}")).status == 403
        assert (await api.admin("GET", f"/api/v1/namespaces/d/pods/x/{word}")).status == 404
        assert (await api.admin(word.upper(), "/api/v1/nodes")).status == 405
    text = (await api.admin("GET", "/metrics")).body
    assert "scanner" not in text.lower()
    assert 'apiserver_request_total{code="401",component="apiserver",group="",' in text


async def test_rules_are_listed_as_they_are_stored(api, namespace):
    rules = [{"verbs": ["watch", "get"], "apiGroups": [""], "resources": ["secrets", "pods"]}]
    roles = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    await api.admin("POST", f"{roles}/roles", {"metadata": {"name": "r"}, "rules": rules})
    binding = {
        "metadata": {"name": "r"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}],
    }
    await api.admin("POST", f"{roles}/rolebindings", binding)
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    body = {"spec": {"namespace": namespace}}
    status = (await api.alice("POST", path, body)).body["status"]
    assert rules[0] in status["resourceRules"]
