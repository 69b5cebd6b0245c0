package main

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	appslisters "k8s.io/client-go/listers/apps/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// TestNamesAndLabels compares with the names and labels that kube-state-metrics documents.
func TestNamesAndLabels(t *testing.T) {
	tests := map[string]struct {
		objects []runtime.Object
		want    string
	}{
		"a deployment in the middle of a rollout": {
			objects: []runtime.Object{&appsv1.Deployment{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
				Spec:       appsv1.DeploymentSpec{Replicas: new(int32(4))},
				Status: appsv1.DeploymentStatus{
					Replicas: 5, AvailableReplicas: 3, ReadyReplicas: 3, UnavailableReplicas: 2, UpdatedReplicas: 1,
				},
			}},
			want: `
# HELP kube_deployment_spec_replicas Replicas wanted.
# TYPE kube_deployment_spec_replicas gauge
kube_deployment_spec_replicas{deployment="web",namespace="shop"} 4
# HELP kube_deployment_status_replicas Replicas there.
# TYPE kube_deployment_status_replicas gauge
kube_deployment_status_replicas{deployment="web",namespace="shop"} 5
# HELP kube_deployment_status_replicas_available Replicas available.
# TYPE kube_deployment_status_replicas_available gauge
kube_deployment_status_replicas_available{deployment="web",namespace="shop"} 3
# HELP kube_deployment_status_replicas_ready Replicas ready.
# TYPE kube_deployment_status_replicas_ready gauge
kube_deployment_status_replicas_ready{deployment="web",namespace="shop"} 3
# HELP kube_deployment_status_replicas_unavailable Replicas not available.
# TYPE kube_deployment_status_replicas_unavailable gauge
kube_deployment_status_replicas_unavailable{deployment="web",namespace="shop"} 2
# HELP kube_deployment_status_replicas_updated Replicas of the newest template.
# TYPE kube_deployment_status_replicas_updated gauge
kube_deployment_status_replicas_updated{deployment="web",namespace="shop"} 1
`,
		},
		"a running pod of a replica set": {
			objects: []runtime.Object{&corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-0", UID: "u", OwnerReferences: []metav1.OwnerReference{
					{Kind: "ReplicaSet", Name: "web-1", Controller: new(true)},
				}},
				Spec:   corev1.PodSpec{NodeName: "n", PriorityClassName: "high"},
				Status: corev1.PodStatus{Phase: corev1.PodRunning, HostIP: "192.0.2.1", PodIP: "10.0.0.1"},
			}},
			want: `
# HELP kube_pod_info What a pod is.
# TYPE kube_pod_info gauge
kube_pod_info{created_by_kind="ReplicaSet",created_by_name="web-1",host_ip="192.0.2.1",host_network="false",namespace="shop",node="n",pod="web-0",pod_ip="10.0.0.1",priority_class="high",uid="u"} 1
# HELP kube_pod_status_phase 1 for the phase that a pod is in.
# TYPE kube_pod_status_phase gauge
kube_pod_status_phase{namespace="shop",phase="Failed",pod="web-0",uid="u"} 0
kube_pod_status_phase{namespace="shop",phase="Pending",pod="web-0",uid="u"} 0
kube_pod_status_phase{namespace="shop",phase="Running",pod="web-0",uid="u"} 1
kube_pod_status_phase{namespace="shop",phase="Succeeded",pod="web-0",uid="u"} 0
kube_pod_status_phase{namespace="shop",phase="Unknown",pod="web-0",uid="u"} 0
`,
		},
		"a node that nobody hears of": {
			objects: []runtime.Object{&corev1.Node{
				ObjectMeta: metav1.ObjectMeta{Name: "n"},
				Spec:       corev1.NodeSpec{PodCIDR: "10.0.0.0/24", ProviderID: "p"},
				Status: corev1.NodeStatus{
					Addresses:  []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "n"}, {Type: corev1.NodeInternalIP, Address: "192.0.2.1"}},
					Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown}},
					NodeInfo: corev1.NodeSystemInfo{
						KernelVersion: "6.1", OSImage: "Debian", ContainerRuntimeVersion: "containerd://1", KubeletVersion: "v1", SystemUUID: "s",
					},
				},
			}},
			want: `
# HELP kube_node_info What a node is.
# TYPE kube_node_info gauge
kube_node_info{container_runtime_version="containerd://1",internal_ip="192.0.2.1",kernel_version="6.1",kubelet_version="v1",kubeproxy_version="",node="n",os_image="Debian",pod_cidr="10.0.0.0/24",provider_id="p",system_uuid="s"} 1
# HELP kube_node_status_condition 1 for the status that a condition has.
# TYPE kube_node_status_condition gauge
kube_node_status_condition{condition="Ready",node="n",status="false"} 0
kube_node_status_condition{condition="Ready",node="n",status="true"} 0
kube_node_status_condition{condition="Ready",node="n",status="unknown"} 1
`,
		},
		"nothing": {},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			deployments, pods, nodes := cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil), cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil),
				cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil)
			for _, object := range tt.objects {
				indexer := nodes
				switch object.(type) {
				case *appsv1.Deployment:
					indexer = deployments
				case *corev1.Pod:
					indexer = pods
				}
				if err := indexer.Add(object); err != nil {
					t.Fatal(err)
				}
			}
			s := state{
				deployments: appslisters.NewDeploymentLister(deployments),
				pods:        corelisters.NewPodLister(pods),
				nodes:       corelisters.NewNodeLister(nodes),
			}
			if err := testutil.CollectAndCompare(s, strings.NewReader(tt.want)); err != nil {
				t.Error(err)
			}
		})
	}
}
