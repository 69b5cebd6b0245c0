package kubelets

import (
	"testing"
	"time"
)

// started is when the clusters of these tests were started.
var started = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestPodsHaveNamesAndUsageOfTheirOwn(t *testing.T) {
	t.Parallel()
	for name, cluster := range map[string]Cluster{
		"less than the wide namespace": {Nodes: 3, PodsPerNode: 10, Started: started},
		"a little more":                {Nodes: 100, PodsPerNode: 30, Started: started},
		"a thousand nodes":             {Nodes: 1000, PodsPerNode: 30, Started: started},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			names, rates := make(map[string]bool), make(map[uint64]bool)
			for i := range cluster.Pods() {
				pod := cluster.Pod(i)
				names[pod.Namespace+"/"+pod.Name], rates[pod.Container.CPU] = true, true
			}
			if len(names) != cluster.Pods() || len(rates) != cluster.Pods() {
				t.Errorf("%d names and %d rates of %d pods", len(names), len(rates), cluster.Pods())
			}
		})
	}
}

func TestTheWideNamespaceIsReadByLabel(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cluster                 Cluster
		wide, wideApp, fewPods  int
		most                    int // of the wide namespace on one node
		namespace, others, apps int
	}{
		"100 nodes":   {Cluster{Nodes: 100, PodsPerNode: 30, Started: started}, 2000, 1000, 10, 30, 100, 10, 101},
		"1,000 nodes": {Cluster{Nodes: 1000, PodsPerNode: 30, Started: started}, 2000, 1000, 10, 2, 100, 280, 101},
		"5,000 nodes": {Cluster{Nodes: 5000, PodsPerNode: 30, Started: started}, 2000, 1000, 10, 1, 100, 1480, 101},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespaces, apps, nodes := make(map[string]int), make(map[string]int), make(map[int]int)
			for i := range test.cluster.Pods() {
				pod := test.cluster.Pod(i)
				namespaces[pod.Namespace]++
				if pod.Namespace == WideNamespace {
					apps[pod.App]++
					nodes[i/test.cluster.PodsPerNode]++
				}
			}
			if namespaces[WideNamespace] != test.wide || apps[WideApp] != test.wideApp || len(apps) != test.apps {
				t.Errorf("%d pods in the wide namespace, %d of the wide application, %d applications", namespaces[WideNamespace], apps[WideApp], len(apps))
			}
			for i := range 250 {
				if n := apps[test.cluster.FewApp(i)]; n != test.fewPods {
					t.Fatalf("application %s has %d pods", test.cluster.FewApp(i), n)
				}
			}
			for node, n := range nodes {
				if n > test.most {
					t.Fatalf("node %d has %d pods of the wide namespace", node, n)
				}
			}
			delete(namespaces, WideNamespace)
			if len(namespaces) != test.others {
				t.Errorf("%d other namespaces", len(namespaces))
			}
			for namespace, n := range namespaces {
				if n != test.namespace {
					t.Errorf("namespace %s has %d pods", namespace, n)
				}
			}
		})
	}
}
