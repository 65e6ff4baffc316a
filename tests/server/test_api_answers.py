"""Answers in less common forms: YAML discovery, old tables, refused tokens and patches."""

import yaml

CONFIG_MAPS = "/api/v1/namespaces/{}/configmaps"


async def test_discovery_is_served_as_yaml(api):
    for path, kind in (("/api", "APIVersions"), ("/apis/apps/v1", "APIResourceList")):
        answer = await api.admin("GET", path, headers={"accept": "application/yaml"})
        assert answer.headers["content-type"] == "application/yaml"
        assert yaml.safe_load(answer.body)["kind"] == kind
        first = await api.admin("GET", path, headers={"accept": "application/json, */*"})
        assert first.body["kind"] == kind


async def test_a_table_of_an_old_version_holds_objects_of_that_version(api, namespace):
    path = CONFIG_MAPS.format(namespace)
    await api.admin("POST", path, {"metadata": {"name": "a"}})
    accept = {"accept": "application/json;as=Table;v=v1beta1;g=meta.k8s.io"}
    rows = (await api.admin("GET", f"{path}/a", headers=accept)).body["rows"]
    assert [row["object"]["apiVersion"] for row in rows] == ["meta.k8s.io/v1beta1"]


async def test_an_empty_table_is_null_for_kinds_without_columns(api, namespace):
    accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    for plural, rows in (("limitranges", None), ("pods", [])):
        path = f"/api/v1/namespaces/{namespace}/{plural}"
        assert (await api.admin("GET", path, headers=accept)).body["rows"] == rows


async def test_foreign_continue_tokens_are_told_what_is_wrong(api, namespace):
    path = CONFIG_MAPS.format(namespace)
    for token, why in (
        ("!!!", "illegal base64 data at input byte 0"),
        ("ab!", "illegal base64 data at input byte 2"),
        ("zzz", "invalid character '\xcf' looking for beginning of value"),
    ):
        answer = await api.admin("GET", path, **{"continue": token})
        assert answer.status == 400
        text = f"invalid continue token: continue key is not valid: {why}"
        assert answer.message == text


async def test_a_watch_takes_no_continue_token(api, namespace):
    path = CONFIG_MAPS.format(namespace)
    answer = await api.admin("GET", path, watch="1", **{"continue": "abc"})
    assert answer.status == 422
    assert "resourceVersionMatch is forbidden when continue is provided" in answer.message


async def test_a_refused_patch_shows_the_fields_nobody_knows(api, namespace):
    path = CONFIG_MAPS.format(namespace)
    await api.admin("POST", path, {"metadata": {"name": "a"}})
    answer = await api.admin(
        "PATCH",
        f"{path}/a",
        {"nope": 1, "metadata": {"huh": 2}},
        headers={"content-type": "application/merge-patch+json"},
        fieldValidation="Strict",
    )
    assert answer.status == 422
    assert 'huh\\":2' in answer.message
    assert '\\"nope\\":1}": strict decoding error' in answer.message


async def test_the_rules_of_a_user_repeat_nothing_of_the_question(api, namespace):
    review = {"spec": {"namespace": namespace}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    answer = await api.alice("POST", path, review)
    assert (answer.status, answer.body["metadata"], answer.body["spec"]) == (201, {}, {})
    assert {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"]}.items() <= next(
        rule for rule in answer.body["status"]["resourceRules"] if "selfsubjectreviews" in str(rule)
    ).items()


async def test_nobody_owns_audiences_that_nobody_asked_for(api, namespace):
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    await api.admin("POST", accounts, {"metadata": {"name": "robot"}})
    answer = await api.admin("POST", f"{accounts}/robot/token", {"spec": {}})
    assert answer.status == 201
    assert answer.body["spec"]["audiences"]
    entry = answer.body["metadata"]["managedFields"][0]
    assert entry["fieldsV1"] == {"f:spec": {"f:expirationSeconds": {}}}


async def test_applying_the_zero_that_a_scale_leaves_out_conflicts(api, namespace):
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/a"
    template = {
        "metadata": {"labels": {"a": "a"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    spec = {"replicas": 0, "selector": {"matchLabels": {"a": "a"}}, "template": template}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a"},
        "spec": spec,
    }
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a"}}
    scale["spec"] = {"replicas": 0}
    headers = {"content-type": "application/apply-patch+yaml"}
    created = await api.admin("PATCH", path, deployment, headers=headers, fieldManager="one")
    assert created.status == 201
    answer = await api.admin("PATCH", f"{path}/scale", scale, headers=headers, fieldManager="two")
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")
    assert answer.body["details"]["causes"][0]["field"] == ".spec.replicas"
