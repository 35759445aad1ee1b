"""The Kubernetes objects: closed network, no privileges, and what Ray's own code reads in them."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import (
    _derive_autoscaling_config_from_ray_cr as autoscaling_of,
)

Document = dict[str, Any]


@pytest.fixture(scope="module")
def policies(manifests: list[Document]) -> dict[str, Document]:
    found = [m for m in manifests if m["kind"] == "NetworkPolicy"]
    return {policy["metadata"]["name"]: policy["spec"] for policy in found}


def test_a_policy_closes_every_pod_in_both_directions(policies: dict[str, Document]) -> None:
    assert policies["closed"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_policies_open_nothing_to_everybody(policies: dict[str, Document]) -> None:
    for name, spec in policies.items():
        for rule in [*spec.get("ingress", []), *spec.get("egress", [])]:
            peers = rule.get("from", rule.get("to"))
            assert peers, name
            for peer in peers:
                assert all(peer.values()), name
                assert peer.get("ipBlock", {}).get("cidr") not in ("0.0.0.0/0", "::/0"), name


def test_jobs_reach_the_head_from_the_operator_and_from_submitters_alone(
    policies: dict[str, Document],
) -> None:
    into_ray = {
        name: [port["port"] for rule in spec["ingress"] for port in rule.get("ports", [])]
        for name, spec in policies.items()
        if "ray" in spec["podSelector"].get("matchLabels", {}).values() and "ingress" in spec
    }
    assert into_ray == {"ray": [], "jobs-to-head": [8265]}
    peers = policies["jobs-to-head"]["ingress"][0]["from"]
    assert peers[0]["podSelector"]["matchLabels"] == {"app.kubernetes.io/component": "submitter"}
    assert "namespaceSelector" in peers[1]
    (inside,) = policies["ray"]["ingress"][0]["from"]
    assert inside["podSelector"]["matchLabels"] == {"app.kubernetes.io/component": "ray"}


def test_every_pod_carries_a_label_that_a_policy_opens(
    policies: dict[str, Document], pod_templates: dict[str, Document]
) -> None:
    key = "app.kubernetes.io/component"
    opened = {spec["podSelector"].get("matchLabels", {}).get(key) for spec in policies.values()}
    for where, template in pod_templates.items():
        assert template["metadata"]["labels"][key] in opened, where


def test_no_pod_is_root_or_asks_for_privileges(pod_templates: dict[str, Document]) -> None:
    assert len(pod_templates) == 7
    for where, template in pod_templates.items():
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, where
        assert spec["securityContext"]["runAsUser"] > 0, where
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, where
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, where
            assert context["capabilities"] == {"drop": ["ALL"]}, where
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), where


def test_only_heads_may_speak_to_kubernetes(pod_templates: dict[str, Document]) -> None:
    for where, template in pod_templates.items():
        may = template["spec"].get("automountServiceAccountToken", True)
        assert may == ("headGroupSpec" in where), where


def test_images_have_a_version(pod_templates: dict[str, Document]) -> None:
    for where, template in pod_templates.items():
        for container in template["spec"]["containers"]:
            assert re.search(r":(gpu|\d+\.\d+[\w.-]*)$", container["image"]), where


def test_secrets_are_references(
    manifests: list[Document], pod_templates: dict[str, Document]
) -> None:
    assert "Secret" not in {found["kind"] for found in manifests}
    for where, template in pod_templates.items():
        for container in template["spec"]["containers"]:
            for variable in container.get("env", []):
                named = re.search(r"TOKEN|PASSWORD|SECRET|KEY", variable["name"])
                assert not named or variable["value"].startswith("/run/secrets/"), where


def test_job_has_the_cluster_of_the_other_file(ray_cluster: Document, ray_job: Document) -> None:
    assert ray_job["spec"]["rayClusterSpec"] == ray_cluster["spec"]
    assert ray_job["metadata"]["labels"] == ray_cluster["metadata"]["labels"]


def test_cluster_asks_for_a_token_and_has_the_locked_version(
    ray_cluster: Document, docker: Path
) -> None:
    spec = ray_cluster["spec"]
    assert spec["authOptions"] == {"mode": "token", "secretName": "ray-token"}
    locked = re.search(r"^ray==(\S+)", (docker / "requirements-gpu.lock").read_text(), re.M)
    assert locked is not None
    assert spec["rayVersion"] == locked[1]


def test_workers_go_to_nodes_with_gpus_that_may_be_taken_away(ray_cluster: Document) -> None:
    (group,) = ray_cluster["spec"]["workerGroupSpecs"]
    tolerated = {t["key"]: t.get("value") for t in group["template"]["spec"]["tolerations"]}
    assert "nvidia.com/gpu" in tolerated
    assert tolerated["cloud.google.com/gke-spot"] == "true"
    assert tolerated["kubernetes.azure.com/scalesetpriority"] == "spot"
    head = ray_cluster["spec"]["headGroupSpec"]["template"]["spec"]
    assert "tolerations" not in head


def test_end_of_a_worker_leaves_time_for_a_checkpoint(ray_cluster: Document) -> None:
    (group,) = ray_cluster["spec"]["workerGroupSpecs"]
    pod = group["template"]["spec"]
    hook = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1]
    announced = re.search(r"--deadline-remaining-seconds (\d+) && sleep \1$", hook)
    assert announced is not None
    assert int(announced[1]) < pod["terminationGracePeriodSeconds"]


def test_priorities_exist(manifests: list[Document], pod_templates: dict[str, Document]) -> None:
    classes = {m["metadata"]["name"] for m in manifests if m["kind"] == "PriorityClass"}
    used = {t["spec"].get("priorityClassName") for t in pod_templates.values()} - {None}
    assert used == classes


def test_queue_and_its_priorities_exist(manifests: list[Document], ray_job: Document) -> None:
    labels = ray_job["metadata"]["labels"]
    names = {(found["kind"], found["metadata"].get("name")) for found in manifests}
    assert ("LocalQueue", labels["kueue.x-k8s.io/queue-name"]) in names
    assert ("WorkloadPriorityClass", labels["kueue.x-k8s.io/priority-class"]) in names
    # Kueue takes no job that leaves its cluster behind.
    assert ray_job["spec"]["shutdownAfterJobFinishes"] is True


def test_rays_autoscaler_reads_the_cluster(ray_cluster: Document) -> None:
    placed = ray_cluster | {"metadata": ray_cluster["metadata"] | {"namespace": "training"}}
    read = autoscaling_of(placed)
    types = read["available_node_types"]
    assert types["headgroup"]["resources"]["CPU"] == 0
    assert types["gpu"]["resources"] | {"memory": 0} == {"CPU": 8, "GPU": 1, "memory": 0}
    assert (types["gpu"]["min_workers"], types["gpu"]["max_workers"]) == (2, 8)
    assert read["idle_timeout_minutes"] == 5


def test_least_workers_of_the_job_are_there_at_its_start(
    ray_cluster: Document, ray_job: Document
) -> None:
    (group,) = ray_cluster["spec"]["workerGroupSpecs"]
    least = re.search(r"cluster\.min_workers=(\d+)", ray_job["spec"]["entrypoint"])
    most = re.search(r"cluster\.num_workers=(\d+)", ray_job["spec"]["entrypoint"])
    assert least is not None
    assert most is not None
    assert int(least[1]) <= group["minReplicas"] <= group["replicas"]
    assert int(most[1]) <= group["maxReplicas"]


def test_volumes_and_mounts_fit(pod_templates: dict[str, Document]) -> None:
    for where, template in pod_templates.items():
        spec = template["spec"]
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        mounted = {m["name"] for c in spec["containers"] for m in c.get("volumeMounts", [])}
        claims = {"database"} if "StatefulSet" in where else set()
        assert mounted == volumes | claims, where


def rendered(docker: Path, program: Callable[[str], str], folder: Path) -> list[Document]:
    """Returns the objects that `kubectl apply --kustomize` would send."""
    shutil.copytree(docker / "kuberay", folder)
    (folder / "settings.env.example").rename(folder / "settings.env")
    line = [program("kubectl"), "kustomize", str(folder)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))


def test_kustomize_puts_settings_and_images_in_place(
    docker: Path, program: Callable[[str], str], tmp_path: Path
) -> None:
    found = rendered(docker, program, tmp_path / "kuberay")
    text = yaml.safe_dump_all(found)
    assert "cidr: 192.0.2.1/32" in text
    assert "cidr: 192.0.2.10/32" in text
    images = set(re.findall(r"image: (\S+)", text))
    assert images == {
        "registry.example.org/training-ray:0.1.0",
        "registry.example.org/training-mlflow:0.1.0",
        "postgres:18.6-trixie",
    }
    namespaces = {o["metadata"].get("namespace") for o in found}
    assert namespaces == {"training", None}


def test_kustomize_without_settings_names_the_file(
    docker: Path, program: Callable[[str], str]
) -> None:
    line = [program("kubectl"), "kustomize", str(docker / "kuberay")]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if not (docker / "kuberay" / "settings.env").exists():
        assert done.returncode != 0
        assert "settings.env" in done.stderr


def test_kubernetes_knows_all_its_keys(
    manifests: list[Document], pod_templates: dict[str, Document]
) -> None:
    absent = "kubernetes-validate is not installed (pip install -e '.[docker]')"
    validate = pytest.importorskip("kubernetes_validate", reason=absent)
    foreign = ("ray.io/", "kueue.x-k8s.io/", "kustomize.config.k8s.io/")
    core = [m for m in manifests if not m["apiVersion"].startswith(foreign)]
    # Ray's objects hold pod templates, which are Kubernetes' own.
    kind = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "it"}}
    core += [kind | {"template": template} for template in pod_templates.values()]
    newest = validate.latest_version()
    for document in core:
        validate.validate(document, newest, strict=True)
    with pytest.raises(validate.ValidationError):
        validate.validate(core[-1] | {"templat": {}}, newest, strict=True)


KNOWN = {
    "RayCluster": {
        "rayVersion",
        "authOptions",
        "enableInTreeAutoscaling",
        "autoscalerOptions",
        "headGroupSpec",
        "workerGroupSpecs",
    },
    "RayJob": {
        "entrypoint",
        "runtimeEnvYAML",
        "backoffLimit",
        "shutdownAfterJobFinishes",
        "ttlSecondsAfterFinished",
        "submissionMode",
        "submitterPodTemplate",
        "rayClusterSpec",
    },
    "authOptions": {"mode", "secretName"},
    "autoscalerOptions": {"version", "idleTimeoutSeconds", "resources", "securityContext"},
    "headGroupSpec": {"rayStartParams", "template"},
    "workerGroupSpecs": {
        "groupName",
        "replicas",
        "minReplicas",
        "maxReplicas",
        "rayStartParams",
        "template",
    },
}
"""What we use of KubeRay 1.7's fields; a misspelt one would be dropped without a word."""


def test_kuberay_knows_all_its_keys(ray_cluster: Document, ray_job: Document) -> None:
    spec = ray_cluster["spec"]
    assert set(spec) <= KNOWN["RayCluster"]
    assert set(ray_job["spec"]) <= KNOWN["RayJob"]
    for part in ("authOptions", "autoscalerOptions", "headGroupSpec"):
        assert set(spec[part]) <= KNOWN[part]
    for group in spec["workerGroupSpecs"]:
        assert set(group) <= KNOWN["workerGroupSpecs"]
