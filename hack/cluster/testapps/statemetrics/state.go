package main

import (
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	appslisters "k8s.io/client-go/listers/apps/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
)

// state makes series of the objects that the informers hold at the time of a scrape.
type state struct {
	deployments appslisters.DeploymentLister
	pods        corelisters.PodLister
	nodes       corelisters.NodeLister
}

// Describe describes nothing: which series there are depends on the objects.
func (state) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (s state) Collect(metrics chan<- prometheus.Metric) {
	send := func(name, help string, value float64, pairs ...string) {
		var names, values []string
		for i := 0; i < len(pairs); i += 2 {
			names, values = append(names, pairs[i]), append(values, pairs[i+1])
		}
		metrics <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), prometheus.GaugeValue, value, values...)
	}
	// Listing everything from memory cannot fail.
	deployments, _ := s.deployments.List(labels.Everything())
	for _, deployment := range deployments {
		ofDeployment(deployment, send)
	}
	pods, _ := s.pods.List(labels.Everything())
	for _, pod := range pods {
		ofPod(pod, send)
	}
	nodes, _ := s.nodes.List(labels.Everything())
	for _, node := range nodes {
		ofNode(node, send)
	}
}

// sendFunc sends one sample. The pairs are names of labels, each followed by its value.
type sendFunc func(name, help string, value float64, pairs ...string)

func ofDeployment(d *appsv1.Deployment, send sendFunc) {
	who := []string{"namespace", d.Namespace, "deployment", d.Name}
	if d.Spec.Replicas != nil {
		send("kube_deployment_spec_replicas", "Replicas wanted.", float64(*d.Spec.Replicas), who...)
	}
	send("kube_deployment_status_replicas", "Replicas there.", float64(d.Status.Replicas), who...)
	send("kube_deployment_status_replicas_available", "Replicas available.", float64(d.Status.AvailableReplicas), who...)
	send("kube_deployment_status_replicas_ready", "Replicas ready.", float64(d.Status.ReadyReplicas), who...)
	send("kube_deployment_status_replicas_unavailable", "Replicas not available.", float64(d.Status.UnavailableReplicas), who...)
	send("kube_deployment_status_replicas_updated", "Replicas of the newest template.", float64(d.Status.UpdatedReplicas), who...)
}

func ofPod(p *corev1.Pod, send sendFunc) {
	var owner metav1.OwnerReference
	if controller := metav1.GetControllerOf(p); controller != nil {
		owner = *controller
	}
	who := []string{"namespace", p.Namespace, "pod", p.Name, "uid", string(p.UID)}
	send("kube_pod_info", "What a pod is.", 1, append(who,
		"host_ip", p.Status.HostIP,
		"pod_ip", p.Status.PodIP,
		"node", p.Spec.NodeName,
		"created_by_kind", owner.Kind,
		"created_by_name", owner.Name,
		"priority_class", p.Spec.PriorityClassName,
		"host_network", strconv.FormatBool(p.Spec.HostNetwork),
	)...)
	if p.Status.Phase == "" {
		return
	}
	for _, phase := range []corev1.PodPhase{corev1.PodPending, corev1.PodRunning, corev1.PodSucceeded, corev1.PodFailed, corev1.PodUnknown} {
		send("kube_pod_status_phase", "1 for the phase that a pod is in.", one(p.Status.Phase == phase), append(who, "phase", string(phase))...)
	}
}

func ofNode(n *corev1.Node, send sendFunc) {
	var internalIP string
	for _, address := range n.Status.Addresses {
		if address.Type == corev1.NodeInternalIP {
			internalIP = address.Address
			break
		}
	}
	info := n.Status.NodeInfo
	send("kube_node_info", "What a node is.", 1,
		"node", n.Name,
		"kernel_version", info.KernelVersion,
		"os_image", info.OSImage,
		"container_runtime_version", info.ContainerRuntimeVersion,
		"kubelet_version", info.KubeletVersion,
		"kubeproxy_version", info.KubeProxyVersion, //nolint:staticcheck // kube-state-metrics has the label as long as the field is there.
		"provider_id", n.Spec.ProviderID,
		"pod_cidr", n.Spec.PodCIDR,
		"system_uuid", info.SystemUUID,
		"internal_ip", internalIP,
	)
	for _, condition := range n.Status.Conditions {
		for _, status := range []corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown} {
			send("kube_node_status_condition", "1 for the status that a condition has.", one(condition.Status == status),
				"node", n.Name, "condition", string(condition.Type), "status", strings.ToLower(string(status)))
		}
	}
}

// one is 1 for true and 0 for false.
func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
