"""What the documents say of deployment is checked as far as that goes without an engine of containers or a cluster."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from automl.cli import app
from automl.server.identity import IdentitySettings
from automl.settings import Settings

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
MANIFESTS = [
    document for text in ((ROOT / "docs/kubernetes.yaml").read_text(),) for document in yaml.safe_load_all(text)
]
RAY = [document for text in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL) for document in yaml.safe_load_all(text)]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
UNITS = dict(re.findall(r"`/etc/systemd/system/([\w@.-]+\.service)`.*?```ini\n(.*?)```", GUIDE, re.DOTALL))
KNOWN = {f"AUTOML_{name.upper()}" for name in Settings.model_fields} | {
    f"AUTOML_OIDC_{name.upper()}" for name in IdentitySettings.model_fields
}
ASKED = {"AUTOML_PASSWORD", "AUTOML_HOST"}
"""What the Compose file itself asks for."""


def instructions():
    """The instructions of the Containerfile, each with its argument."""
    text = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", (ROOT / "Containerfile").read_text()))
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def arguments(name):
    return [rest for instruction, rest in instructions() if instruction == name]


def pods():
    """The pods of the manifests."""
    return [
        document["spec"]["template"]["spec"]
        for document in (*MANIFESTS, *RAY)
        if document["kind"] in ("Deployment", "StatefulSet")
    ]


def commands():
    """Every command of ours that a document starts."""
    found = [service["command"] for service in COMPOSE["services"].values() if "command" in service]
    found += [container["args"] for pod in pods() for container in pod["containers"] if "args" in container]
    found += [yaml.safe_load(command) for command in arguments("CMD")]
    found += [shlex.split(line) for unit in UNITS.values() for line in re.findall(r"(?m)^ExecStart=(.*)", unit)]
    return [[Path(program).name, *rest] for program, *rest in found]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_the_command_line_understands_every_command_of_the_documents(command):
    program, name, *rest = command
    assert program == "automl"
    typer.main.get_command(app).commands[name].make_context(name, rest)


def test_every_variable_of_the_documents_is_one_that_is_read():
    texts = [GUIDE, *((ROOT / name).read_text() for name in ("Containerfile", "compose.yaml", "docs/kubernetes.yaml"))]
    named = {name for text in texts for name in re.findall(r"AUTOML_[A-Z_]+\b", text)}
    assert named - KNOWN - ASKED == set()


def test_the_containerfile_copies_what_is_there_and_ends_as_somebody_without_rights():
    known = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "VOLUME", "ENV", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "CMD"}
    assert {name for name, _ in instructions()} <= known
    stages = {match[1] for text in arguments("FROM") if (match := re.search(r" AS (\w+)$", text))}
    for text in arguments("COPY"):
        *sources, _ = [part for part in text.split() if not part.startswith("--")]
        if stage := re.search(r"--from=(\w+)", text):
            assert stage[1] in stages
        else:
            assert all((ROOT / source).exists() for source in sources)
    (user,) = arguments("USER")
    assert any(f"useradd --uid 10001 --create-home {user}" in text for text in arguments("RUN"))
    (check,) = arguments("HEALTHCHECK")
    compile(yaml.safe_load(check.removeprefix("CMD "))[2], "HEALTHCHECK", "exec")


def test_images_run_as_the_user_that_the_containerfile_makes():
    ours = [pod for pod in pods() if any("automl:" in container["image"] for container in pod["containers"])]
    assert [pod["securityContext"]["runAsUser"] for pod in ours] == [10001] * len(ours)


def test_what_the_compose_file_refers_to_is_in_it():
    for name, service in COMPOSE["services"].items():
        assert ("image" in service) != ("build" in service), name
        if "build" in service:
            assert (ROOT / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        assert {volume.partition(":")[0] for volume in service["volumes"]} <= set(COMPOSE["volumes"])
        for other, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            assert "healthcheck" in COMPOSE["services"][other]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_what_the_manifests_refer_to_is_in_them():
    named = {(document["kind"], document["metadata"]["name"]) for document in MANIFESTS}
    labels = [
        document["spec"]["template"]["metadata"]["labels"] for document in MANIFESTS if "template" in document["spec"]
    ]
    for document in MANIFESTS:
        spec = document["spec"]
        if document["kind"] == "Service":
            assert spec["selector"] in labels
        if "template" in spec:
            assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    for pod in pods():
        claims = {volume["name"]: volume["persistentVolumeClaim"]["claimName"] for volume in pod.get("volumes", ())}
        assert {("PersistentVolumeClaim", claim) for claim in claims.values()} <= named
        for container in pod["containers"]:
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted <= {*claims, "data"}


def test_the_manifests_are_as_kubernetes_describes_them():
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for document in (*MANIFESTS, *RAY):
        if not document["apiVersion"].startswith("ray.io"):
            kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path):
    assert set(UNITS) == {"automl-worker@.service", "automl-serve.service"}
    for name, text in UNITS.items():
        place = tmp_path / name.replace("@", "@1")
        place.write_text(
            text.replace("/srv/automl/venv/bin/automl", sys.executable).replace("User=automl", "User=root")
        )
    paths = [str(path) for path in tmp_path.iterdir()]
    found = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False)
    assert [line for line in found.stderr.splitlines() if str(tmp_path) in line] == []
