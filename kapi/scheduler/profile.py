"""The default profile: upstream's plugins in upstream's order, with upstream's weights."""

from kapi.scheduler.algorithm import Plugins
from kapi.scheduler.plugins.dynamic_resources import DynamicResources
from kapi.scheduler.plugins.image_locality import ImageLocality
from kapi.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from kapi.scheduler.plugins.node_affinity import NodeAffinity
from kapi.scheduler.plugins.node_name import NodeName
from kapi.scheduler.plugins.node_ports import NodePorts
from kapi.scheduler.plugins.node_resources_balanced_allocation import (
    NodeResourcesBalancedAllocation,
)
from kapi.scheduler.plugins.node_resources_fit import NodeResourcesFit
from kapi.scheduler.plugins.node_unschedulable import NodeUnschedulable
from kapi.scheduler.plugins.pod_topology_spread import PodTopologySpread
from kapi.scheduler.plugins.taint_toleration import TaintToleration
from kapi.scheduler.plugins.volume_binding import VolumeBinding
from kapi.scheduler.plugins.volume_restrictions import VolumeRestrictions
from kapi.scheduler.plugins.volume_zone import VolumeZone
from kapi.scheduler.volumes import Volumes
from kapi.scheduler.workloads import Workloads


def default_plugins(workloads: Workloads, volumes: Volumes) -> Plugins:
    """`workloads` feeds the default spread constraints, `volumes` the volume plugins."""
    taints, affinity, fit = TaintToleration(), NodeAffinity(), NodeResourcesFit()
    spread, inter_pod = PodTopologySpread(workloads.selector_for), InterPodAffinity()
    return Plugins(
        pre_filters=(affinity,),
        node_filters=(NodeUnschedulable(), NodeName(), taints, affinity, NodePorts(), fit),
        cluster_filters=(
            VolumeRestrictions(volumes),
            VolumeBinding(volumes),
            VolumeZone(volumes),
            spread,
            inter_pod,
            DynamicResources(),
        ),
        node_scores=(taints, affinity, fit, NodeResourcesBalancedAllocation()),
        cluster_scores=(spread, inter_pod, ImageLocality()),
    )
