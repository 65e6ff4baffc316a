"""What a request line is taken to mean, where authorization depends on it."""

from kapi.server.exchange import parse_query
from kapi.server.request_info import parse

SECRETS = "/api/v1/namespaces/default/secrets"


def name_of(query, method="GET"):
    return parse(method, SECRETS, parse_query(query)).name


def test_a_list_for_one_name_is_about_that_object():
    assert name_of(b"fieldSelector=metadata.name%3Dmine") == "mine"
    assert name_of(b"watch=1&fieldSelector=type%3Dx,metadata.name%3D%3Dmine") == "mine"
    assert name_of(b"fieldSelector=metadata.name%21%3Dmine") == ""


def test_only_the_first_selector_counts_as_for_the_list_itself():
    assert name_of(b"fieldSelector=&fieldSelector=metadata.name%3Dmine") == ""
    assert name_of(b"fieldSelector=type%3Dx&fieldSelector=metadata.name%3Dmine") == ""


def test_deleting_a_collection_is_never_about_one_name():
    assert name_of(b"fieldSelector=metadata.name%3Dmine", "DELETE") == ""
