package objects

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
)

func TestClusterFollowsPods(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(
			corePod("shop", "cart-1", "node1", map[string]string{"app": "cart"}),
			corePod("shop", "cart-0", "node2", map[string]string{"app": "cart"}),
			corePod("shop", "db", "node1", map[string]string{"app": "db"}),
			corePod("bank", "vault", "node1", nil),
		)
		pods := start(t, client, Options{}).Pods()

		want := []*Pod{
			{Namespace: "bank", Name: "vault", Node: "node1"},
			{Namespace: "shop", Name: "cart-0", Node: "node2", Labels: labels.Set{"app": "cart"}},
			{Namespace: "shop", Name: "cart-1", Node: "node1", Labels: labels.Set{"app": "cart"}},
			{Namespace: "shop", Name: "db", Node: "node1", Labels: labels.Set{"app": "db"}},
		}
		if diff := cmp.Diff(want, pods.List("", labels.Everything())); diff != "" {
			t.Errorf("all pods (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want[1:3], pods.List("shop", labels.SelectorFromSet(labels.Set{"app": "cart"}))); diff != "" {
			t.Errorf("pods of shop with app=cart (-want +got):\n%s", diff)
		}
		if got := pods.List("nowhere", labels.Everything()); len(got) != 0 {
			t.Errorf("pods of an unknown namespace: %v", got)
		}

		ctx := t.Context()
		moved := corePod("shop", "db", "node2", map[string]string{"app": "db"})
		if _, err := client.CoreV1().Pods("shop").Update(ctx, moved, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := client.CoreV1().Pods("bank").Delete(ctx, "vault", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if pod, ok := pods.Get("shop", "db"); !ok || pod.Node != "node2" {
			t.Errorf("updated pod: %v, %v", pod, ok)
		}
		if pod, ok := pods.Get("bank", "vault"); ok {
			t.Errorf("deleted pod: %v", pod)
		}
	})
}

func TestClusterAsksForRunningPodsOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		start(t, client, Options{})
		got := map[string]string{}
		for _, action := range client.Actions() {
			switch action := action.(type) {
			case k8stesting.ListAction:
				got["list "+action.GetResource().Resource] = action.GetListRestrictions().Fields.String()
			case k8stesting.WatchAction:
				got["watch "+action.GetResource().Resource] = action.GetWatchRestrictions().Fields.String()
			}
		}
		want := map[string]string{
			"list pods":   "status.phase=Running",
			"watch pods":  "status.phase=Running",
			"list nodes":  "",
			"watch nodes": "",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("requests and their field selectors (-want +got):\n%s", diff)
		}
	})
}

func TestClusterFollowsNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{
				Name:        "node1",
				Labels:      map[string]string{"pool": "a"},
				Annotations: map[string]string{"metrics.k8s.io/resource-metrics-path": "/x"},
			},
			Status: corev1.NodeStatus{
				Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}},
				DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: 10250}},
				Conditions:      []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
			},
		}
		nodes := start(t, fake.NewClientset(node), Options{}).Nodes()
		want := []*Node{{
			Name:        "node1",
			Labels:      labels.Set{"pool": "a"},
			Addresses:   node.Status.Addresses,
			KubeletPort: 10250,
			MetricsPath: "/x",
			Ready:       true,
		}}
		if diff := cmp.Diff(want, nodes.List(labels.Everything())); diff != "" {
			t.Errorf("nodes (-want +got):\n%s", diff)
		}
	})
}

// start runs a cluster until the test ends and returns it synced.
func start(t *testing.T, client kubernetes.Interface, options Options) *Cluster {
	t.Helper()
	c := New(client, options)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	synctest.Wait()
	if !c.Pods().HasSynced() || !c.Nodes().HasSynced() {
		t.Fatal("not synced")
	}
	return c
}

func corePod(namespace, name, node string, labels map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "app"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
}
