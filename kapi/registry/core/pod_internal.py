"""A pod's spec in the form upstream's internal types have, which its messages print.

When an update changes what it may not, upstream answers with a unified diff of two such prints:
every field of every type, in declaration order, null where unset. The tables below are those
types, in the notation of `kapi.registry.internal_form`.
"""

import difflib
from typing import Any

import orjson

from kapi.api.object import Object
from kapi.registry.internal_form import internal_form as rendered

_CONTAINER = (
    "Name Image Command:? Args:? WorkingDir Ports:[]ContainerPort EnvFrom:[]EnvFromSource "
    "Env:[]EnvVar Resources:ResourceRequirements ResizePolicy:[]ResizePolicy RestartPolicy:? "
    "RestartPolicyRules:[]RestartRule VolumeMounts:[]VolumeMount VolumeDevices:[]VolumeDevice "
    "LivenessProbe:*Probe ReadinessProbe:*Probe StartupProbe:*Probe Lifecycle:*Lifecycle "
    "TerminationMessagePath TerminationMessagePolicy ImagePullPolicy "
    "SecurityContext:*SecurityContext Stdin:b StdinOnce:b TTY:b"
)

_TYPES = {
    "PodSpec": (
        "Volumes:[]Volume InitContainers:[]Container Containers:[]Container "
        "EphemeralContainers:[]EphemeralContainer RestartPolicy TerminationGracePeriodSeconds:? "
        "ActiveDeadlineSeconds:? DNSPolicy NodeSelector:? ServiceAccountName "
        "AutomountServiceAccountToken:? NodeName SecurityContext:*PodSecurityContext "
        "ImagePullSecrets:[]NameOnly Hostname Subdomain SetHostnameAsFQDN:? Affinity:*Affinity "
        "SchedulerName Tolerations:[]Toleration HostAliases:[]HostAlias PriorityClassName "
        "Priority:? PreemptionPolicy:? DNSConfig:*DNSConfig ReadinessGates:[]ReadinessGate "
        "RuntimeClassName:? Overhead:qs EnableServiceLinks:? "
        "TopologySpreadConstraints:[]SpreadConstraint OS:*NameOnly SchedulingGates:[]NameOnly "
        "ResourceClaims:[]ResourceClaim Resources:*ResourceRequirements HostnameOverride:? "
        "SchedulingGroup:any"
    ),
    "Container": _CONTAINER,
    "EphemeralContainer": f"{_CONTAINER} TargetContainerName",
    "NameOnly": "Name",
    "ContainerPort": "Name HostPort:i ContainerPort:i Protocol HostIP",
    "EnvFromSource": "Prefix ConfigMapRef:*OptionalName SecretRef:*OptionalName",
    "OptionalName": "Name Optional:?",
    "EnvVar": "Name Value ValueFrom:*EnvVarSource",
    "EnvVarSource": (
        "FieldRef:*FieldSelector ResourceFieldRef:*ResourceSelector ConfigMapKeyRef:*KeySelector "
        "SecretKeyRef:*KeySelector FileKeyRef:*FileKeySelector"
    ),
    "FieldSelector": "APIVersion FieldPath",
    "ResourceSelector": "ContainerName Resource Divisor:q",
    "KeySelector": "Name Key Optional:?",
    "FileKeySelector": "VolumeName Path Key Optional:?",
    "ResourceRequirements": "Limits:qs Requests:qs Claims:[]ClaimUse",
    "ClaimUse": "Name Request",
    "ResizePolicy": "ResourceName RestartPolicy",
    "RestartRule": "Action ExitCodes:*ExitCodes",
    "ExitCodes": "Operator Values:?",
    "VolumeMount": (
        "Name ReadOnly:b RecursiveReadOnly:? MountPath SubPath MountPropagation:? SubPathExpr"
    ),
    "VolumeDevice": "Name DevicePath",
    "Probe": (
        "Exec:*Exec HTTPGet:*HTTPGet TCPSocket:*TCPSocket GRPC:*GRPC InitialDelaySeconds:i "
        "TimeoutSeconds:i PeriodSeconds:i SuccessThreshold:i FailureThreshold:i "
        "TerminationGracePeriodSeconds:?"
    ),
    "Exec": "Command:?",
    "HTTPGet": "Path Port:? Host Scheme HTTPHeaders:[]HTTPHeader",
    "HTTPHeader": "Name Value",
    "TCPSocket": "Port:? Host",
    "GRPC": "Port:i Service:?",
    "Lifecycle": "PostStart:*Handler PreStop:*Handler StopSignal:?",
    "Handler": "Exec:*Exec HTTPGet:*HTTPGet TCPSocket:*TCPSocket Sleep:*Sleep",
    "Sleep": "Seconds:i",
    "SecurityContext": (
        "Capabilities:*Capabilities Privileged:? SELinuxOptions:*SELinux WindowsOptions:*Windows "
        "RunAsUser:? RunAsGroup:? RunAsNonRoot:? ReadOnlyRootFilesystem:? "
        "AllowPrivilegeEscalation:? ProcMount:? SeccompProfile:*Profile AppArmorProfile:*Profile"
    ),
    "Capabilities": "Add:? Drop:?",
    "SELinux": "User Role Type Level",
    "Windows": "GMSACredentialSpecName:? GMSACredentialSpec:? RunAsUserName:? HostProcess:?",
    "Profile": "Type LocalhostProfile:?",
    "PodSecurityContext": (
        "HostNetwork:b HostPID:b HostIPC:b ShareProcessNamespace:? HostUsers:? "
        "SELinuxOptions:*SELinux WindowsOptions:*Windows RunAsUser:? RunAsGroup:? RunAsNonRoot:? "
        "SupplementalGroups:? SupplementalGroupsPolicy:? FSGroup:? FSGroupChangePolicy:? "
        "Sysctls:[]Sysctl SeccompProfile:*Profile AppArmorProfile:*Profile SELinuxChangePolicy:?"
    ),
    "Sysctl": "Name Value",
    "Affinity": "NodeAffinity:*NodeAffinity PodAffinity:*PodAffinity PodAntiAffinity:*PodAffinity",
    "NodeAffinity": (
        "RequiredDuringSchedulingIgnoredDuringExecution:*NodeSelector "
        "PreferredDuringSchedulingIgnoredDuringExecution:[]PreferredTerm"
    ),
    "NodeSelector": "NodeSelectorTerms:[]NodeTerm",
    "NodeTerm": "MatchExpressions:[]Requirement MatchFields:[]Requirement",
    "Requirement": "Key Operator Values:?",
    "PreferredTerm": "Weight:i Preference:NodeTerm",
    "PodAffinity": (
        "RequiredDuringSchedulingIgnoredDuringExecution:[]PodTerm "
        "PreferredDuringSchedulingIgnoredDuringExecution:[]WeightedTerm"
    ),
    "PodTerm": (
        "LabelSelector:json Namespaces:? TopologyKey NamespaceSelector:json MatchLabelKeys:? "
        "MismatchLabelKeys:?"
    ),
    "WeightedTerm": "Weight:i PodAffinityTerm:PodTerm",
    "Toleration": "Key Operator Value Effect TolerationSeconds:?",
    "HostAlias": "IP Hostnames:?",
    "DNSConfig": "Nameservers:? Searches:? Options:[]DNSOption",
    "DNSOption": "Name Value:?",
    "ReadinessGate": "ConditionType",
    "SpreadConstraint": (
        "MaxSkew:i TopologyKey WhenUnsatisfiable LabelSelector:json MinDomains:? "
        "NodeAffinityPolicy:? NodeTaintsPolicy:? MatchLabelKeys:?"
    ),
    "ResourceClaim": "Name ResourceClaimName:? ResourceClaimTemplateName:?",
    "Volume": (
        "Name HostPath:*HostPath EmptyDir:*EmptyDir GCEPersistentDisk:any "
        "AWSElasticBlockStore:any GitRepo:any Secret:*SecretVolume NFS:any ISCSI:any "
        "Glusterfs:any PersistentVolumeClaim:*Claim RBD:any Quobyte:any FlexVolume:any "
        "Cinder:any CephFS:any Flocker:any DownwardAPI:*DownwardVolume FC:any AzureFile:any "
        "ConfigMap:*ConfigMapVolume VsphereVolume:any AzureDisk:any PhotonPersistentDisk:any "
        "Projected:*Projected PortworxVolume:any ScaleIO:any StorageOS:any CSI:any "
        "Ephemeral:any Image:*ImageVolume"
    ),
    "PersistentVolumeSource": (
        "GCEPersistentDisk:any AWSElasticBlockStore:any HostPath:*HostPath Glusterfs:any NFS:*NFS "
        "RBD:any Quobyte:any ISCSI:any FlexVolume:any Cinder:any CephFS:any FC:any Flocker:any "
        "AzureFile:any VsphereVolume:any AzureDisk:any PhotonPersistentDisk:any "
        "PortworxVolume:any ScaleIO:any Local:*LocalVolume StorageOS:any CSI:*CSISource"
    ),
    "NFS": "Server Path ReadOnly:b",
    "LocalVolume": "Path FSType:?",
    "CSISource": (
        "Driver VolumeHandle ReadOnly:b FSType VolumeAttributes:? "
        "ControllerPublishSecretRef:*SecretReference NodeStageSecretRef:*SecretReference "
        "NodePublishSecretRef:*SecretReference ControllerExpandSecretRef:*SecretReference "
        "NodeExpandSecretRef:*SecretReference"
    ),
    "SecretReference": "Name Namespace",
    "VolumeNodeAffinity": "Required:*NodeSelector",
    "ClaimSpec": (
        "AccessModes:? Selector:json Resources:ClaimResources VolumeName StorageClassName:? "
        "VolumeMode:? DataSource:any DataSourceRef:any VolumeAttributesClassName:?"
    ),
    "ClaimResources": "Limits:qs Requests:qs",
    "HostPath": "Path Type:?",
    "EmptyDir": "Medium SizeLimit:?",
    "SecretVolume": "SecretName Items:[]KeyToPath DefaultMode:? Optional:?",
    "ConfigMapVolume": "Name Items:[]KeyToPath DefaultMode:? Optional:?",
    "KeyToPath": "Key Path Mode:?",
    "Claim": "ClaimName ReadOnly:b",
    "DownwardVolume": "Items:[]DownwardFile DefaultMode:?",
    "DownwardFile": ("Path FieldRef:*FieldSelector ResourceFieldRef:*ResourceSelector Mode:?"),
    "ImageVolume": "Reference PullPolicy",
    "Projected": "Sources:[]Projection DefaultMode:?",
    "Projection": (
        "Secret:*ProjectedKeys DownwardAPI:*ProjectedDownward ConfigMap:*ProjectedKeys "
        "ServiceAccountToken:*TokenProjection ClusterTrustBundle:any PodCertificate:any"
    ),
    "ProjectedKeys": "Name Items:[]KeyToPath Optional:?",
    "ProjectedDownward": "Items:[]DownwardFile",
    "TokenProjection": "Audience ExpirationSeconds:i Path",
}

_HOST_FIELDS = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers")


def internal_pod_spec(spec: Object) -> dict[str, Any]:
    """The spec as upstream prints it; the host's namespaces are in the security context there."""
    context = {**(spec.get("securityContext") or {})}
    context.update({name: spec[name] for name in _HOST_FIELDS if name in spec})
    return rendered({**spec, "securityContext": context}, "PodSpec", _TYPES)


def internal_form(obj: Object, type_name: str) -> dict[str, Any]:
    """Any object of a type in the tables above."""
    return rendered(obj, type_name, _TYPES)


def internal_container(container: Object) -> dict[str, Any]:
    """One ephemeral container as upstream prints it."""
    return rendered(container, "EphemeralContainer", _TYPES)


def unified(new: dict[str, Any], old: dict[str, Any]) -> str:
    """The unified diff from `old` to `new`, without file names, one space per level."""
    lines = list(difflib.unified_diff(_printed(old), _printed(new), lineterm="", n=3))
    return "\n".join(lines[2:]) + "\n" if lines else ""


def _printed(value: dict[str, Any]) -> list[str]:
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    lines = []
    for line in text.split("\n"):
        stripped = line.lstrip(" ")
        lines.append(" " * ((len(line) - len(stripped)) // 2) + stripped)
    return lines
