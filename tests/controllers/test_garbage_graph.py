"""The ownership graph: for any history, links agree with what the objects say."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.client.client import CONFIG_MAPS, NAMESPACES
from kapi.controllers.garbage_collector.graph import Graph


def obj(uid, owners=(), finalizers=(), deleting=False, namespace="ns"):
    metadata = {"name": f"name-{uid}", "namespace": namespace, "uid": uid, "resourceVersion": "1"}
    if owners:
        metadata["ownerReferences"] = [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "name": f"name-{owner}",
                "uid": owner,
                "blockOwnerDeletion": block,
            }
            for owner, block in dict(owners).items()
        ]
    if finalizers:
        metadata["finalizers"] = list(finalizers)
    if deleting:
        metadata["deletionTimestamp"] = "x"
    return {"metadata": metadata}


uids = st.sampled_from("abcdef")
owner_lists = st.lists(st.tuples(uids, st.booleans()), max_size=3)
changes = st.one_of(
    st.tuples(st.just("put"), uids, owner_lists),
    st.tuples(st.just("remove"), uids, st.just([])),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(changes, max_size=25))
def test_links_agree_with_references(history):
    graph = Graph()
    alive: dict[str, dict[str, bool]] = {}
    retired: set[str] = set()
    for what, uid, owners in history:
        if what == "put" and uid not in retired:
            graph.put(CONFIG_MAPS, obj(uid, owners))
            alive[uid] = dict(owners)
        elif what == "remove":
            naming = {other for other, refs in alive.items() if uid in refs and other != uid}
            work = graph.remove(uid)
            alive.pop(uid, None)
            if uid not in retired:
                assert naming <= set(work.delete), "whoever named it has to be looked at"
            retired.add(uid)
        for other, refs in alive.items():
            node = graph.get(other)
            assert node is not None
            assert not node.virtual
            for owner in refs:
                if owner not in retired:
                    assert other in graph.get(owner).dependents
        for node in graph.virtual_nodes():
            assert node.dependents, "a virtual node lives by its dependents"


def test_a_dependent_of_an_unseen_owner_makes_it_virtual_and_asks_for_it():
    graph = Graph()
    work = graph.put(CONFIG_MAPS, obj("child", [("ghost", True)]))
    assert list(work.delete) == ["ghost"]
    assert graph.get("ghost").virtual
    assert list(graph.remove("ghost").delete) == ["child"]


def test_an_owner_seen_later_becomes_real():
    graph = Graph()
    graph.put(CONFIG_MAPS, obj("child", [("owner", True)]))
    graph.put(CONFIG_MAPS, obj("owner"))
    owner = graph.get("owner")
    assert not owner.virtual
    assert list(owner.dependents) == ["child"]
    assert owner.blocking_dependents() == [graph.get("child")]


def test_foreground_deletion_queues_dependents_and_then_the_owner():
    graph = Graph()
    graph.put(CONFIG_MAPS, obj("owner"))
    graph.put(CONFIG_MAPS, obj("child", [("owner", True)]))
    work = graph.put(CONFIG_MAPS, obj("owner", finalizers=["foregroundDeletion"], deleting=True))
    assert list(work.delete) == ["child", "owner"]
    # The same state again is no news.
    same = graph.put(CONFIG_MAPS, obj("owner", finalizers=["foregroundDeletion"], deleting=True))
    assert not same.delete
    assert list(graph.remove("child").delete) == ["owner"]


def test_a_dependent_that_stops_blocking_frees_its_owner():
    graph = Graph()
    graph.put(CONFIG_MAPS, obj("owner", finalizers=["foregroundDeletion"], deleting=True))
    graph.put(CONFIG_MAPS, obj("child", [("owner", True)]))
    work = graph.put(CONFIG_MAPS, obj("child", [("owner", False)]))
    assert "owner" in work.delete
    assert graph.get("owner").blocking_dependents() == []


def test_orphaning_is_asked_for_once():
    graph = Graph()
    graph.put(CONFIG_MAPS, obj("owner"))
    leaving = obj("owner", finalizers=["orphan"], deleting=True)
    assert list(graph.put(CONFIG_MAPS, leaving).orphan) == ["owner"]
    assert not graph.put(CONFIG_MAPS, leaving).orphan


def test_a_reference_to_another_namespace_is_looked_at_whichever_comes_first():
    first = Graph()
    first.put(CONFIG_MAPS, obj("owner", namespace="other"))
    assert "child" in first.put(CONFIG_MAPS, obj("child", [("owner", True)])).delete
    second = Graph()
    second.put(CONFIG_MAPS, obj("child", [("owner", True)]))
    assert "child" in second.put(CONFIG_MAPS, obj("owner", namespace="other")).delete


def test_a_cluster_scoped_owner_fits_every_namespace():
    graph = Graph()
    owner = obj("owner")
    del owner["metadata"]["namespace"]
    graph.put(NAMESPACES, owner)
    child = obj("child", [("owner", True)])
    child["metadata"]["ownerReferences"][0]["kind"] = "Namespace"
    assert "child" not in graph.put(CONFIG_MAPS, child).delete
