package workload

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Namespaces returns the namespaces of the workloads.
func (c *Cluster) Namespaces() []*corev1.Namespace {
	var out []*corev1.Namespace
	for i := 0; i < len(c.Scaled); i += HPAsPerNamespace {
		out = append(out, namespace(c.Scaled[i].Namespace))
	}
	return append(out, namespace(c.Large.Namespace))
}

func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{
		ObjectMeta: meta("", name, nil),
		Spec:       corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{corev1.FinalizerKubernetes}},
		Status:     corev1.NamespaceStatus{Phase: corev1.NamespaceActive},
	}
}

// meta returns what every object has that an API server has created.
func meta(namespace, name string, labels map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: namespace, Name: name, Labels: labels, Generation: 1,
		UID:               types.UID(fmt.Sprintf("%08x-%04x-4000-8000-%012x", fold(namespace), len(name), fold(name))),
		CreationTimestamp: metav1.NewTime(time.Now().Add(-age).Truncate(time.Second)),
	}
}

// fold makes a number of a name, different for names that differ in one word or number.
func fold(s string) uint32 {
	hash := uint32(2166136261)
	for i := range len(s) {
		hash = (hash ^ uint32(s[i])) * 16777619
	}
	return hash
}

// Deployment returns the object of a workload.
func (w Workload) Deployment() *appsv1.Deployment {
	replicas, labels := int32(w.Pods), map[string]string{"app": w.Name}
	return &appsv1.Deployment{
		ObjectMeta: meta(w.Namespace, w.Name, labels),
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: w.podSpec("")},
		},
		Status: appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: replicas, ReadyReplicas: replicas, AvailableReplicas: replicas},
	}
}

// Autoscaler returns the HPA of a workload, with the one metric.
func (w Workload) Autoscaler() *autoscalingv2.HorizontalPodAutoscaler {
	least, target := int32(1), resource.MustParse("100")
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: meta(w.Namespace, w.Name, map[string]string{"app": w.Name}),
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: w.Name},
			MinReplicas:    &least,
			MaxReplicas:    int32(2 * w.Pods),
			Metrics: []autoscalingv2.MetricSpec{{
				Type: autoscalingv2.PodsMetricSourceType,
				Pods: &autoscalingv2.PodsMetricSource{
					Metric: autoscalingv2.MetricIdentifier{Name: Metric},
					Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: &target},
				},
			}},
		},
	}
}

// PodObjects returns the pods of a workload, which run, as large as pods are: what it costs to list them depends on that.
func (w Workload) PodObjects() []*corev1.Pod {
	out := make([]*corev1.Pod, w.Pods)
	for i := range out {
		out[i] = w.pod(w.First + i)
	}
	return out
}

func (w Workload) pod(index int) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: meta(w.Namespace, w.PodName(index), map[string]string{
			"app": w.Name, "app.kubernetes.io/part-of": "shop", "pod-template-hash": w.hash(),
		}),
		Spec: w.podSpec(nodeName(index)),
	}
	yes, begun := true, pod.CreationTimestamp
	pod.GenerateName = w.Name + "-" + w.hash() + "-"
	pod.Annotations = map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "8080", "prometheus.io/path": "/metrics"}
	pod.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: "apps/v1", Kind: "ReplicaSet", Name: w.Name + "-" + w.hash(), UID: pod.UID, Controller: &yes, BlockOwnerDeletion: &yes,
	}}
	condition := func(kind corev1.PodConditionType) corev1.PodCondition {
		return corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: begun}
	}
	pod.Status = corev1.PodStatus{
		Phase:  corev1.PodRunning,
		HostIP: address(index / podsPerNode), HostIPs: []corev1.HostIP{{IP: address(index / podsPerNode)}},
		PodIP: address(index), PodIPs: []corev1.PodIP{{IP: address(index)}},
		StartTime: &begun, QOSClass: corev1.PodQOSBurstable,
		Conditions: []corev1.PodCondition{
			condition(corev1.PodReadyToStartContainers), condition(corev1.PodInitialized), condition(corev1.PodReady),
			condition(corev1.ContainersReady), condition(corev1.PodScheduled),
		},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: "app", Ready: true, Started: &yes, Image: image, ImageID: "registry.example/shop/api@sha256:" + id(index),
			ContainerID: "containerd://" + id(index), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: begun}},
		}},
	}
	return pod
}

const image = "registry.example/shop/api:v1.2.3"

// id is 64 digits.
func id(index int) string {
	return fmt.Sprintf("%016x%016x%016x%016x", index+1, index*7, index*11, index*13)
}

// podSpec returns what a pod is made of, on a node or, without one, as its workload says.
func (w Workload) podSpec(node string) corev1.PodSpec {
	grace, defaultMode, expiration, tolerated := int64(30), int32(420), int64(3607), int64(300)
	probe := func(path string) *corev1.Probe {
		return &corev1.Probe{
			ProbeHandler:   corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("http"), Scheme: corev1.URISchemeHTTP}},
			TimeoutSeconds: 1, PeriodSeconds: 10, SuccessThreshold: 1, FailureThreshold: 3,
		}
	}
	const token = "kube-api-access"
	return corev1.PodSpec{
		NodeName: node, ServiceAccountName: w.Name, DeprecatedServiceAccount: w.Name, RestartPolicy: corev1.RestartPolicyAlways,
		DNSPolicy: corev1.DNSClusterFirst, SchedulerName: corev1.DefaultSchedulerName, SecurityContext: &corev1.PodSecurityContext{},
		TerminationGracePeriodSeconds: &grace,
		Tolerations: []corev1.Toleration{
			{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &tolerated},
			{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &tolerated},
		},
		Volumes: []corev1.Volume{{Name: token, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			DefaultMode: &defaultMode,
			Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{ExpirationSeconds: &expiration, Path: "token"}},
				{ConfigMap: &corev1.ConfigMapProjection{
					LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
				}},
			},
		}}}},
		Containers: []corev1.Container{{
			Name: "app", Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
			Args:  []string{"--listen=:8080", "--log-level=info", "--database=postgres.shop.svc:5432"},
			Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}},
			Env: []corev1.EnvVar{
				{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.name"}}},
				{Name: "GOMAXPROCS", Value: "2"}, {Name: "REGION", Value: "eu-central"},
			},
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m"), corev1.ResourceMemory: resource.MustParse("256Mi")},
				Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
			},
			VolumeMounts:   []corev1.VolumeMount{{Name: token, ReadOnly: true, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}},
			LivenessProbe:  probe("/healthz"),
			ReadinessProbe: probe("/readyz"),

			TerminationMessagePath: corev1.TerminationMessagePathDefault, TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		}},
	}
}
