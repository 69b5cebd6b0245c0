package kubelets

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestObjectsAreThoseOfTheCluster(t *testing.T) {
	t.Parallel()
	cluster := Cluster{Nodes: 100, PodsPerNode: 30, Port: 10250, Started: started}
	const node = 42
	object, want := cluster.NodeObject(node), cluster.Node(node)
	if object.Name != want.Name || object.Status.Addresses[0] != (corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: want.Address.String()}) ||
		object.Status.DaemonEndpoints.KubeletEndpoint.Port != 10250 {
		t.Errorf("node %s at %v, %v", object.Name, object.Status.Addresses, object.Status.DaemonEndpoints)
	}
	uids := make(map[any]bool)
	for i := range cluster.Pods() {
		object, want := cluster.PodObject(i), cluster.Pod(i)
		if object.Name != want.Name || object.Namespace != want.Namespace || object.Labels["app"] != want.App ||
			object.Labels["pod-template-hash"] != want.Hash || object.Spec.Containers[0].Name != want.App {
			t.Fatalf("pod %d is %s/%s", i, object.Namespace, object.Name)
		}
		if got := cluster.Node(i / cluster.PodsPerNode).Name; object.Spec.NodeName != got || object.Status.Phase != corev1.PodRunning {
			t.Fatalf("pod %d is on node %s, %s", i, object.Spec.NodeName, object.Status.Phase)
		}
		uids[object.UID] = true
	}
	if len(uids) != cluster.Pods() {
		t.Errorf("%d UIDs of %d pods", len(uids), cluster.Pods())
	}
}

func TestObjectsAreAsLargeAsThoseOfClusters(t *testing.T) {
	t.Parallel()
	pod, node := thousand.PodObject(4711), thousand.NodeObject(47)
	if size := pod.Size(); size < 1500 || size > 4000 {
		t.Errorf("a pod has %d bytes", size)
	}
	if size := node.Size(); size < 4000 || size > 12000 {
		t.Errorf("a node has %d bytes", size)
	}
	t.Logf("a pod has %d bytes, a node %d", pod.Size(), node.Size())
}
