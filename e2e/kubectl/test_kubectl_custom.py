"""Custom kinds as users meet them: define, explain, apply, edit, scale, delete."""

from collections.abc import Iterator

import pytest
import yaml
from harness import Client, CommandFailed, eventually

GROUP = "shop.example.com"
DEFINITION = f"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: widgets.{GROUP}}}
spec:
  group: {GROUP}
  scope: Namespaced
  names: {{plural: widgets, kind: Widget, shortNames: [wd]}}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          description: A widget for sale.
          properties:
            spec:
              type: object
              required: [size]
              properties:
                size: {{type: integer, minimum: 1, description: How big it is.}}
                color: {{type: string, default: red}}
                replicas: {{type: integer, default: 1}}
              x-kubernetes-validations:
                - {{rule: self.size != 13, message: 13 is unlucky}}
            status: {{type: object, properties: {{replicas: {{type: integer}}}}}}
      subresources:
        status: {{}}
        scale: {{specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
      additionalPrinterColumns:
        - {{name: Size, type: integer, jsonPath: .spec.size}}
        - {{name: Color, type: string, jsonPath: .spec.color, priority: 1}}
"""


def widget(name: str = "one", size: int = 3) -> str:
    body = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"size": size},
    }
    return yaml.safe_dump(body)


@pytest.fixture
def widgets(kubectl: Client) -> Iterator[Client]:
    """kubectl, with widgets defined."""
    kubectl.apply(DEFINITION)
    kubectl("wait", "--for=condition=Established", f"crd/widgets.{GROUP}", "--timeout=20s")
    yield kubectl
    kubectl("delete", "crd", f"widgets.{GROUP}", "--ignore-not-found")


def test_a_fresh_kind_can_be_used_at_once(widgets: Client) -> None:
    assert widgets.apply(widget()).strip() == f"widget.{GROUP}/one created"
    assert widgets.apply(widget()).strip() == f"widget.{GROUP}/one unchanged"
    assert widgets.apply(widget(size=4)).strip() == f"widget.{GROUP}/one configured"
    header, row = widgets("get", "wd", "-o", "wide").splitlines()
    assert header.split() == ["NAME", "SIZE", "COLOR"]
    assert row.split() == ["one", "4", "red"]


def test_explain_knows_its_fields(widgets: Client) -> None:
    text = widgets("explain", "widgets.spec.size")
    assert "FIELD: size <integer>" in text and "How big it is." in text
    assert "A widget for sale." in widgets("explain", "wd")


def test_apply_on_the_server_and_scale(widgets: Client) -> None:
    widgets.apply(widget(), "--server-side")
    widgets("scale", "wd", "one", "--replicas=4")
    found = widgets.json("get", "wd", "one")
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (4, 2)


def test_bad_objects_are_refused_by_their_schema(widgets: Client) -> None:
    with pytest.raises(CommandFailed, match="13 is unlucky"):
        widgets.apply(widget(size=13))
    with pytest.raises(CommandFailed, match="greater than or equal to 1"):
        widgets.apply(widget(size=0))
    with pytest.raises(CommandFailed, match=r'unknown field "spec\.sizee"'):
        widgets.apply(widget().replace("size:", "sizee:"))


def test_the_kind_goes_with_its_objects(widgets: Client) -> None:
    widgets.apply(widget())
    widgets("delete", "crd", f"widgets.{GROUP}")

    def unknown() -> bool:
        return "widgets" not in widgets("api-resources", "-o", "name", f"--api-group={GROUP}")

    eventually(unknown, timeout_s=10)
