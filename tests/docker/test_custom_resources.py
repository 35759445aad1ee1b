"""Ray's and Kueue's objects against the schemas that their operators install."""

import os
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it has none
import pytest
import yaml

Document = dict[str, Any]


@pytest.fixture(scope="module")
def schemas() -> dict[tuple[str, str], Document]:
    """The schemas by API version and kind; nobody publishes them as a package."""
    folder = os.environ.get("CRD_FOLDER")
    if folder is None:
        pytest.skip("CRD_FOLDER names no folder with the YAML files of KubeRay's and Kueue's CRDs")
    found = {}
    for path in sorted(Path(folder).rglob("*.yaml")):
        for crd in yaml.safe_load_all(path.read_text()):
            if crd and crd.get("kind") == "CustomResourceDefinition":
                group, kind = crd["spec"]["group"], crd["spec"]["names"]["kind"]
                for version in crd["spec"]["versions"]:
                    schema = version["schema"]["openAPIV3Schema"]
                    found[f"{group}/{version['name']}", kind] = schema
    return found


def unknown(schema: Document, value: object, place: str = "") -> list[str]:
    """Returns the fields that Kubernetes would drop without a word."""
    if isinstance(value, list):
        inner = schema.get("items", {})
        return [found for item in value for found in unknown(inner, item, f"{place}[]")]
    if not isinstance(value, dict) or schema.get("x-kubernetes-preserve-unknown-fields"):
        return []
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    if others or not properties:
        return []
    wrong = [f"{place}.{key}" for key in value if key not in properties]
    for key in value.keys() & properties.keys():
        wrong += unknown(properties[key], value[key], f"{place}.{key}")
    return wrong


@pytest.mark.parametrize("group", ["ray.io", "kueue.x-k8s.io"])
def test_operators_know_all_keys(
    schemas: dict[tuple[str, str], Document], manifests: list[Document], group: str
) -> None:
    theirs = [found for found in manifests if found["apiVersion"].partition("/")[0] == group]
    assert theirs
    if not any(version.startswith(f"{group}/") for version, _ in schemas):
        pytest.skip(f"no schema of {group} in CRD_FOLDER")
    for document in theirs:
        schema = schemas[document["apiVersion"], document["kind"]]
        assert unknown(schema, document | {"metadata": {}}) == []
        jsonschema.validate(document, schema)
