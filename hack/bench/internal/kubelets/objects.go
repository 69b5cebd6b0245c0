package kubelets

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// imagesPerNode is how many images a node tells of. Kubelets tell of 50 at most.
const imagesPerNode = 20

// NodeObject returns a node as the API server has it: with the labels, conditions and images that a node in a cloud has.
func (c Cluster) NodeObject(i int) *corev1.Node {
	node := c.Node(i)
	zone := fmt.Sprintf("europe-west1-%c", 'a'+rune(i%3))
	return &corev1.Node{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{
			Name:              node.Name,
			UID:               uid("node", i),
			CreationTimestamp: metav1.NewTime(c.Started),
			Labels: map[string]string{
				corev1.LabelHostname:           node.Name,
				corev1.LabelArchStable:         "amd64",
				corev1.LabelOSStable:           "linux",
				corev1.LabelInstanceTypeStable: "n2-standard-16",
				corev1.LabelTopologyRegion:     "europe-west1",
				corev1.LabelTopologyZone:       zone,
				"node.kubernetes.io/pool":      "general",
				"topology.example.com/rack":    "rack-" + strconv.Itoa(i/20),
			},
			Annotations: map[string]string{
				"node.alpha.kubernetes.io/ttl":                           "0",
				"volumes.kubernetes.io/controller-managed-attach-detach": "true",
				"csi.volume.kubernetes.io/nodeid":                        fmt.Sprintf(`{"disk.csi.example.com":"projects/shop/zones/%s/instances/%s"}`, zone, node.Name),
			},
		},
		Spec: corev1.NodeSpec{PodCIDR: c.podAddress(i, 0).String() + "/24", ProviderID: fmt.Sprintf("example://shop/%s/%s", zone, node.Name)},
		Status: corev1.NodeStatus{
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: node.Address.String()},
				{Type: corev1.NodeHostName, Address: node.Name},
			},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(c.Port)}},
			Capacity:        capacity("16", "64Gi"),
			Allocatable:     capacity("15890m", "58Gi"),
			Conditions:      c.nodeConditions(),
			NodeInfo: corev1.NodeSystemInfo{
				MachineID: hexOf("machine", i), SystemUUID: string(uid("system", i)), BootID: string(uid("boot", i)),
				KernelVersion: "6.8.0-31-generic", OSImage: "Ubuntu 24.04 LTS", ContainerRuntimeVersion: "containerd://2.1.4",
				KubeletVersion: "v1.36.3", OperatingSystem: "linux", Architecture: "amd64",
			},
			Images: nodeImages(i),
		},
	}
}

func (c Cluster) nodeConditions() []corev1.NodeCondition {
	at := metav1.NewTime(c.Started)
	condition := func(kind corev1.NodeConditionType, status corev1.ConditionStatus, reason, message string) corev1.NodeCondition {
		return corev1.NodeCondition{Type: kind, Status: status, LastHeartbeatTime: at, LastTransitionTime: at, Reason: reason, Message: message}
	}
	return []corev1.NodeCondition{
		condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
		condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
		condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
		condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady", "kubelet is posting ready status"),
	}
}

func nodeImages(node int) []corev1.ContainerImage {
	out := make([]corev1.ContainerImage, 0, imagesPerNode)
	for i := range imagesPerNode {
		name := "registry.example.com/shop/" + appName((node*imagesPerNode+i)%5000)
		out = append(out, corev1.ContainerImage{
			Names:     []string{name + "@sha256:" + hexOf("image", i) + hexOf("image", -i), name + ":v1.4.2"},
			SizeBytes: int64(50+i) << 20,
		})
	}
	return out
}

func capacity(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse(cpu),
		corev1.ResourceMemory:           resource.MustParse(memory),
		corev1.ResourcePods:             resource.MustParse("110"),
		corev1.ResourceEphemeralStorage: resource.MustParse("100Gi"),
	}
}

// PodObject returns a pod of a Deployment as the API server has it: running and ready.
func (c Cluster) PodObject(i int) *corev1.Pod {
	pod := c.Pod(i)
	node := i / c.PodsPerNode
	address := c.podAddress(node, 2+i%c.PodsPerNode).String()
	yes, seconds := true, int64(300)
	return &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Name:              pod.Name,
			Namespace:         pod.Namespace,
			GenerateName:      pod.App + "-" + pod.Hash + "-",
			UID:               uid("pod", i),
			CreationTimestamp: metav1.NewTime(c.Started),
			Labels:            map[string]string{"app": pod.App, "pod-template-hash": pod.Hash},
			Annotations: map[string]string{
				"prometheus.io/scrape":               "true",
				"prometheus.io/port":                 "8080",
				"kubectl.kubernetes.io/restartedAt":  c.Started.Format("2006-01-02T15:04:05Z07:00"),
				"checksum.example.com/configuration": hexOf(pod.App, 0),
			},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "ReplicaSet", Name: pod.App + "-" + pod.Hash, UID: uid(pod.Namespace+pod.App, 0), Controller: &yes, BlockOwnerDeletion: &yes,
			}},
		},
		Spec: corev1.PodSpec{
			NodeName:                      c.Node(node).Name,
			Containers:                    []corev1.Container{container(pod)},
			Volumes:                       []corev1.Volume{configuration(pod.App), tokenVolume()},
			RestartPolicy:                 corev1.RestartPolicyAlways,
			DNSPolicy:                     corev1.DNSClusterFirst,
			ServiceAccountName:            pod.App,
			DeprecatedServiceAccount:      pod.App,
			SchedulerName:                 corev1.DefaultSchedulerName,
			SecurityContext:               &corev1.PodSecurityContext{RunAsNonRoot: &yes},
			TerminationGracePeriodSeconds: new(int64(30)),
			EnableServiceLinks:            &yes,
			Priority:                      new(int32),
			Tolerations: []corev1.Toleration{
				{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds},
				{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds},
			},
		},
		Status: c.podStatus(pod, i, address),
	}
}

func container(pod Pod) corev1.Container {
	no := false
	return corev1.Container{
		Name:  pod.App,
		Image: "registry.example.com/shop/" + pod.App + ":v1.4.2",
		Args:  []string{"--config=/etc/" + pod.App + "/config.yaml", "--listen=:8080"},
		Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}},
		Env: []corev1.EnvVar{
			{Name: "ENVIRONMENT", Value: "production"},
			{Name: "LOG_LEVEL", Value: "info"},
			{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.name"}}},
		},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
		},
		VolumeMounts: []corev1.VolumeMount{
			{Name: "configuration", MountPath: "/etc/" + pod.App, ReadOnly: true},
			{Name: "token", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true},
		},
		LivenessProbe:            probe("/livez"),
		ReadinessProbe:           probe("/readyz"),
		TerminationMessagePath:   corev1.TerminationMessagePathDefault,
		TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		ImagePullPolicy:          corev1.PullIfNotPresent,
		SecurityContext:          &corev1.SecurityContext{AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
	}
}

func probe(path string) *corev1.Probe {
	get := &corev1.HTTPGetAction{Path: path, Scheme: corev1.URISchemeHTTP}
	get.Port.StrVal, get.Port.Type = "http", 1
	return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: get}, TimeoutSeconds: 1, PeriodSeconds: 10, SuccessThreshold: 1, FailureThreshold: 3}
}

func configuration(app string) corev1.Volume {
	return corev1.Volume{Name: "configuration", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: app}, DefaultMode: new(int32(0o644)),
	}}}
}

func tokenVolume() corev1.Volume {
	return corev1.Volume{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		DefaultMode: new(int32(0o644)),
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{ExpirationSeconds: new(int64(3607)), Path: "token"}},
			{ConfigMap: &corev1.ConfigMapProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"},
				Items:                []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
			}},
		},
	}}}
}

func (c Cluster) podStatus(pod Pod, i int, address string) corev1.PodStatus {
	at := metav1.NewTime(c.Started)
	yes := true
	kinds := []corev1.PodConditionType{
		corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady, corev1.PodScheduled,
	}
	conditions := make([]corev1.PodCondition, 0, len(kinds))
	for _, kind := range kinds {
		conditions = append(conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: at})
	}
	host := c.Node(i / c.PodsPerNode).Address.String()
	return corev1.PodStatus{
		Phase:      corev1.PodRunning,
		Conditions: conditions,
		HostIP:     host,
		HostIPs:    []corev1.HostIP{{IP: host}},
		PodIP:      address,
		PodIPs:     []corev1.PodIP{{IP: address}},
		StartTime:  &at,
		QOSClass:   corev1.PodQOSBurstable,
		ContainerStatuses: []corev1.ContainerStatus{{
			Name:        pod.App,
			State:       corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}},
			Ready:       true,
			Started:     &yes,
			Image:       "registry.example.com/shop/" + pod.App + ":v1.4.2",
			ImageID:     "registry.example.com/shop/" + pod.App + "@sha256:" + hexOf("image", i) + hexOf("image", -i),
			ContainerID: "containerd://" + hexOf("container", i) + hexOf("container", -i),
		}},
	}
}

// podAddress returns an address in a network of its own for each node.
func (c Cluster) podAddress(node, host int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(node >> 8), byte(node), byte(host)})
}

// hexOf returns 32 digits that are always the same for the same arguments.
func hexOf(about string, i int) string {
	sum := sha256.Sum256([]byte(about + strconv.Itoa(i)))
	return hex.EncodeToString(sum[:16])
}

func uid(about string, i int) types.UID {
	h := hexOf(about, i)
	return types.UID(h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:])
}
