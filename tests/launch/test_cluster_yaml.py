"""The launcher's files: Ray accepts them, and they let no stranger in."""

import ipaddress
import json
import re
from pathlib import Path

import pytest
import yaml

launcher = pytest.importorskip("ray.autoscaler._private.util")  # private to Ray

TOP = Path(__file__).parents[2]
AWS, GCP, OWN = ALL = (
    "cluster.yaml",
    "docs/cluster-gcp.yaml",
    "docs/cluster-onprem.yaml",
)
CLOUDS = (AWS, GCP)
RAY, PYTHON, TORCH = "2.60.0", "3.11", "2.15.0"
RAY_PINS = r"\bray(?:\[[\w,]+\]==|:)([\w.]+)"
SECRETS = (
    r"\b(AKIA|ASIA)[0-9A-Z]{16}\b|\b[0-9a-fA-F]{32,}\b|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|aws_secret_access_key|aws_credentials|gcp_credentials|RAY_AUTH_TOKEN="
)


def read(file, old="", new=""):
    """Return a file, changed, as `ray up` prepares it: valid, with Ray's defaults."""
    text = (TOP / file).read_text()
    assert old in text, (file, old)
    return prepare(yaml.safe_load(text.replace(old, new) if old else text))


def prepare(config):
    config = launcher.prepare_config(config)
    launcher.validate_config(config)
    return config


def is_spot(node):
    market = node.get("InstanceMarketOptions", {}).get("MarketType")
    return market == "spot" or node.get("scheduling", {}).get("preemptible", False)


def is_ssh_from_one_address(rule):
    ranges = [r["CidrIp"] for r in rule.get("IpRanges", [])]
    ranges += [r["CidrIpv6"] for r in rule.get("Ipv6Ranges", [])]
    alone = all(ipaddress.ip_network(r).num_addresses == 1 for r in ranges)
    return alone and rule["FromPort"] == rule["ToPort"] == 22


def checks(config):
    """Return whether each thing holds that a prepared config must have."""
    text, provider = json.dumps(config), config["provider"]
    setups = [" ; ".join(config[f"{k}_setup_commands"]) for k in ("head", "worker")]
    starts = [
        [line for line in config[f"{kind}_start_ray_commands"] if "ray start" in line]
        for kind in ("head", "worker")
    ]
    [head], [worker] = starts
    mounts = {local: remote for remote, local in config["file_mounts"].items()}
    token = mounts.get("~/.ray/auth_token", "")
    holds = {
        "a token at every start": all(
            re.search(r"RAY_AUTH_MODE=token\b.*\bray start", x) for x in (head, worker)
        ),
        "no other mode": set(re.findall(r"RAY_AUTH_MODE=(\w*)", text)) == {"token"},
        "the token on every node": token.endswith("/.ray/auth_token"),
        "the token for its owner only": all(f"chmod 600 {token}" in x for x in setups),
        "the dashboard on loopback": re.findall(r"--dashboard-host[= ](\S+)", head)
        == ["127.0.0.1"],
        "open to nobody": "0.0.0.0" not in text and "::/0" not in text,
        "no trials on the head": "--num-cpus=0" in head,
        "30 s to stop": "RAY_JOB_STOP_WAIT_TIME_S=30" in head,
        "one Ray": set(re.findall(RAY_PINS, text)) == {RAY}
        and all(f"]=={RAY}'" in x for x in setups),
        "one Python": all(f"({PYTHON.replace('.', ', ')})" in x for x in setups),
        "one torch": all(f"'torch=={TORCH}'" in x for x in setups),
        "raybs as a wheel": "./dist" in mounts
        and all("raybs-*.whl" in x and "}[cluster]" in x for x in setups),
        "no secrets": not re.search(SECRETS, text),
    }
    if provider["type"] == "local":
        return holds
    network, account = {
        "aws": ("SecurityGroupIds", "IamInstanceProfile"),
        "gcp": ("networkInterfaces", "serviceAccounts"),
    }[provider["type"]]
    kinds = dict(config["available_node_types"])
    first, *others = [kinds.pop(config["head_node_type"]), *kinds.values()]
    nodes = [kind["node_config"] for kind in (first, *others)]
    rules = provider.get("security_group", {}).get("IpPermissions", [])
    images = [config["docker"].get(f"{k}_image", "") for k in ("head", "worker")]
    return holds | {
        "a head without CPUs": first["resources"] == {"CPU": 0},
        "a head not spot": not is_spot(nodes[0]),
        "spot workers, from none": all(map(is_spot, nodes[1:]))
        and all(kind["min_workers"] == 0 for kind in others),
        # Where none is named, the launcher makes or takes one that is open to all.
        "a network of ours": all(network in node for node in nodes),
        "rights of ours": all(account in node for node in nodes),
        "SSH from one address": all(map(is_ssh_from_one_address, rules)),
        "no stopped machines": provider.get("cache_stopped_nodes") is False,
        "images of one Python": all(
            f"-py{PYTHON.replace('.', '')}" in image for image in images
        ),
    }


def problems(config):
    return [name for name, holds in checks(config).items() if not holds]


@pytest.mark.parametrize("file", ALL)
def test_ray_accepts_the_file_and_it_lets_no_stranger_in(file):
    assert problems(read(file)) == []
    assert not re.search(SECRETS, (TOP / file).read_text())  # in comments neither


RULES = (
    "cache_stopped_nodes: false\n  security_group: {{IpPermissions: [{{FromPort: {}, "
)
RULES += "ToPort: {}, IpProtocol: tcp, IpRanges: [{{CidrIp: {}}}]}}]}}"
SPOT_AWS = "m6i.large\n      InstanceMarketOptions: {MarketType: spot}"
SPOT_GCP = "n2-standard-2\n      scheduling: {preemptible: true}"
OPEN = ["the dashboard on loopback", "open to nobody"]
TOKEN = ["the token on every node", "the token for its owner only"]
CHANGES = [  # in these files, this, becomes this, of which this is seen
    (ALL, "export RAY_AUTH_MODE=token;", "", ["a token at every start"]),
    (ALL, "RAY_AUTH_MODE=token RAY_J", "RAY_J", ["a token at every start"]),
    (CLOUDS, "env RAY_AUTH_MODE=token", "env RAY_AUTH_MODE=no", ["no other mode"]),
    (ALL, "/.ray/auth_token: ", "/.ray/x: ", TOKEN),
    (ALL, "chmod 600", "chmod 644", TOKEN[1:]),
    (ALL, "host=127.0.0.1", "host=0.0.0.0", OPEN),
    (ALL, "host=127.0.0.1", "host=10.0.0.1", OPEN[:1]),
    (ALL, "--dashboard-host=127.0.0.1", "", OPEN[:1]),
    (AWS, "sg-CHANGE-ME", "'::/0'", OPEN[1:]),
    (ALL, "--num-cpus=0", "", ["no trials on the head"]),
    (ALL, "WAIT_TIME_S=30", "WAIT_TIME_S=3", ["30 s to stop"]),
    (ALL, "tune]==2.60.0", "tune]==2.61.0", ["one Ray"]),
    (ALL, "tune]==2.60.0", "tune]", ["one Ray"]),
    (CLOUDS, "ray:2.60.0-py311-gpu", "ray:latest-py311-gpu", ["one Ray"]),
    (ALL, "(3, 11)", "(3, 12)", ["one Python"]),
    (ALL, "torch==2.15.0", "torch", ["one torch"]),
    (ALL, "}[cluster]", "}", ["raybs as a wheel"]),
    (ALL, "./dist", ".", ["raybs as a wheel"]),
    (ALL, ": raybs", f": {'AKIA' + 4 * 'ABCD'}", ["no secrets"]),
    (ALL, ": raybs", f": {32 * '0a'}", ["no secrets"]),
    (ALL, ": raybs", ": -----BEGIN RSA PRIVATE KEY-----", ["no secrets"]),
    (AWS, "type: aws", "type: aws\n  aws_credentials: {}", ["no secrets"]),
    (CLOUDS, "{CPU: 0}", "{}", ["a head without CPUs"]),
    (AWS, "m6i.large", SPOT_AWS, ["a head not spot"]),
    (GCP, "n2-standard-2", SPOT_GCP, ["a head not spot"]),
    (AWS, "MarketType: spot", "MarketType: x", ["spot workers, from none"]),
    (GCP, "preemptible: true", "preemptible: false", ["spot workers, from none"]),
    (CLOUDS, "min_workers: 0", "min_workers: 1", ["spot workers, from none"]),
    (AWS, "SecurityGroupIds: *group", "", ["a network of ours"]),
    (GCP, "networkInterfaces: *network", "", ["a network of ours"]),
    (AWS, "IamInstanceProfile: {Name: raybs-worker}", "", ["rights of ours"]),
    (GCP, "serviceAccounts:  # may use one bucket, no", "x:  #", ["rights of ours"]),
    (CLOUDS, "cache_stopped_nodes: false", "", ["no stopped machines"]),
    (CLOUDS, "nodes: false", "nodes: true", ["no stopped machines"]),
    (CLOUDS, "-py311\n", "-py312\n", ["images of one Python"]),
    (CLOUDS, "-py311-gpu", "-gpu", ["images of one Python"]),
]
CHANGES += [
    (AWS, "cache_stopped_nodes: false", RULES.format(port, port, addresses), seen)
    for port, addresses, seen in (
        (22, "0.0.0.0/0", ["open to nobody", "SSH from one address"]),
        (22, "203.0.113.0/24", ["SSH from one address"]),
        (8265, "203.0.113.7/32", ["SSH from one address"]),
    )
]


@pytest.mark.parametrize(("files", "old", "new", "seen"), CHANGES)
def test_a_change_for_the_worse_is_seen(files, old, new, seen):
    for file in [files] if isinstance(files, str) else files:
        assert problems(read(file, old, new)) == seen


@pytest.mark.parametrize(
    "key", ["head_start_ray_commands", "worker_start_ray_commands"]
)
@pytest.mark.parametrize("file", ALL)
def test_what_ray_would_start_by_itself_is_refused(file, key):
    config = yaml.safe_load((TOP / file).read_text())
    del config[key]
    assert "a token at every start" in problems(prepare(config))


def test_every_check_is_seen_to_fail():
    names = {name for file in ALL for name in checks(read(file))}
    assert {name for *_, seen in CHANGES for name in seen} == names


def test_the_launcher_opens_ssh_to_all_unless_a_group_is_named(tmp_path, monkeypatch):
    """Why `a network of ours`: rules given to the launcher come beside its own."""
    moto = pytest.importorskip("moto")
    monkeypatch.setenv("HOME", str(tmp_path))  # the launcher makes a key there
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    with moto.mock_aws():
        import boto3
        from ray.autoscaler._private.aws.config import bootstrap_aws

        ec2 = boto3.resource("ec2", region_name="us-west-2")
        [vpc] = ec2.vpcs.all()
        ours = vpc.create_security_group(GroupName="ours", Description="ours")

        def admitted(config):
            nodes = bootstrap_aws(config)["available_node_types"].values()
            groups = {x for node in nodes for x in node["node_config"][named]}
            rules = [
                x for group in groups for x in ec2.SecurityGroup(group).ip_permissions
            ]
            return {r["CidrIp"] for rule in rules for r in rule["IpRanges"]}

        named = "SecurityGroupIds"
        assert admitted(read(AWS, "sg-CHANGE-ME", ours.id)) == set()
        rules = RULES.format(22, 22, "203.0.113.7/32")
        theirs = read(AWS, "cache_stopped_nodes: false", rules)
        for node in theirs["available_node_types"].values():
            del node["node_config"][named]
        assert admitted(theirs) == {"203.0.113.7/32", "0.0.0.0/0"}


def test_the_guide_has_the_same_pins_and_opens_nothing_either():
    guide = (TOP / "docs/cluster.md").read_text()
    assert set(re.findall(RAY_PINS, guide)) == {RAY}
    assert not re.search(SECRETS, guide)
    admitted = re.findall(r"(?:--cidr|--source-ranges)[ =](\S+)", guide)
    assert set(admitted) == {"203.0.113.7/32", "10.10.0.0/24"}  # you, the nodes


def test_the_policies_of_the_guide_fit_the_file_and_stay_within_one_prefix():
    guide = (TOP / "docs/cluster.md").read_text()
    blocks = re.findall(r"```json\n(.*?)```", guide, re.DOTALL)
    bucket, workers = [json.loads(block)["Statement"] for block in blocks]
    ours = "arn:aws:s3:::BUCKET"
    assert [x["Resource"] for x in bucket] == [f"{ours}/raybs/*", ours]
    assert bucket[1]["Action"] == ["s3:ListBucket"]  # of the bucket itself no more
    actions = [action for x in bucket + workers for action in x["Action"]]
    assert "*" not in "".join(actions)
    config = read(AWS)
    node = config["available_node_types"]["gpu_spot"]["node_config"]
    conditions = json.dumps([x.get("Condition") for x in workers])
    place = config["provider"]["region"]
    for value in (config["cluster_name"], place, node["InstanceType"]):
        assert f'"{value}"' in conditions
    role = node["IamInstanceProfile"]["Name"]
    assert workers[-1]["Resource"].endswith(f"role/{role}")
