"""Service-account tokens over the API: who may ask for them, and what reviews say about them."""

import pytest
from conftest import Caller

from kapi.api.user import GROUP_AUTHENTICATED, UserInfo

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
NODE = UserInfo("system:node:n1", groups=("system:nodes", GROUP_AUTHENTICATED))


def token_path(namespace):
    return f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"


def token_request(**spec):
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}


async def review(api, token, audiences=None):
    spec = {"token": token, **({"audiences": audiences} if audiences else {})}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
    answer = await api.admin("POST", REVIEWS, body)
    assert answer.status == 201, answer.body
    return answer.body["status"]


async def test_a_review_finds_the_audiences_that_a_token_is_good_for(api, namespace):
    made = await api.admin("POST", token_path(namespace), token_request(audiences=["vault", "b"]))
    token = made.body["status"]["token"]
    status = await review(api, token, ["other", "vault"])
    assert status["authenticated"] is True
    assert status["audiences"] == ["vault"]
    assert status["user"]["username"] == f"system:serviceaccount:{namespace}:default"
    for audiences in (None, ["other"]):
        assert await review(api, token, audiences) == {"user": {}, "error": "invalid bearer token"}


async def test_a_token_without_an_audience_is_good_for_this_api_only(api):
    assert (await review(api, "T1"))["user"]["username"] == "admin"
    assert "error" in await review(api, "T1", ["vault"])


@pytest.fixture
async def pods(api, namespace):
    """A pod on the node that asks, and one elsewhere; their uids."""
    uids = {}
    for name, node in (("mine", "n1"), ("other", "n2")):
        spec = {"nodeName": node, "containers": [{"name": "c", "image": "x"}]}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        made = await api.admin("POST", f"/api/v1/namespaces/{namespace}/pods", body)
        assert made.status == 201, made.body
        uids[name] = made.body["metadata"]["uid"]
    return uids


def bound(name, uid):
    return {"apiVersion": "v1", "kind": "Pod", "name": name, **({"uid": uid} if uid else {})}


async def test_a_node_gets_tokens_bound_to_its_own_pods_only(api, namespace, pods):
    node = Caller(api.server.app, NODE)
    path = token_path(namespace)
    mine = token_request(boundObjectRef=bound("mine", pods["mine"]))
    assert (await node("POST", path, mine)).status == 201
    refused = {
        "not bound to a pod": token_request(),
        "without a uid": token_request(boundObjectRef=bound("mine", "")),
        "on another node": token_request(boundObjectRef=bound("other", pods["other"])),
    }
    for why, request in refused.items():
        answer = await node("POST", path, request)
        assert answer.status == 403, answer.body
        assert why in answer.message
    assert (await api.admin("POST", path, token_request())).status == 201


async def test_a_node_sees_its_own_pods_only(api, namespace, pods):
    node = Caller(api.server.app, NODE)
    mine = await node("GET", "/api/v1/pods", fieldSelector="spec.nodeName=n1")
    assert [item["metadata"]["name"] for item in mine.body["items"]] == ["mine"]
    for selector in ("", "spec.nodeName=n2"):
        answer = await node("GET", "/api/v1/pods", fieldSelector=selector)
        assert answer.status == 403, answer.body
    spec = {
        "resourceAttributes": {
            "verb": "list",
            "resource": "pods",
            "fieldSelector": {
                "requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]
            },
        }
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert (await node("POST", path, {"spec": spec})).body["status"]["allowed"] is True
