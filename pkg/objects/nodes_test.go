package objects

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func TestNodesOnChange(t *testing.T) {
	t.Parallel()
	selected := labels.Set{"pool": "a"}
	other := labels.Set{"pool": "b"}
	address := []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}}

	tests := map[string]struct {
		before, after []*Node
		want          []string
	}{
		"a new node is set": {
			after: []*Node{{Name: "n", Labels: selected}},
			want:  []string{"set n"},
		},
		"a new node that does not match is not": {
			after: []*Node{{Name: "n", Labels: other}},
		},
		"an equal node is a heartbeat": {
			before: []*Node{{Name: "n", Labels: selected, Addresses: address}},
			after:  []*Node{{Name: "n", Labels: labels.Set{"pool": "a"}, Addresses: address}},
		},
		"addresses changed": {
			before: []*Node{{Name: "n", Labels: selected}},
			after:  []*Node{{Name: "n", Labels: selected, Addresses: address}},
			want:   []string{"set n"},
		},
		"port changed": {
			before: []*Node{{Name: "n", Labels: selected}},
			after:  []*Node{{Name: "n", Labels: selected, KubeletPort: 10255}},
			want:   []string{"set n"},
		},
		"path changed": {
			before: []*Node{{Name: "n", Labels: selected}},
			after:  []*Node{{Name: "n", Labels: selected, MetricsPath: "/x"}},
			want:   []string{"set n"},
		},
		"readiness changed": {
			before: []*Node{{Name: "n", Labels: selected}},
			after:  []*Node{{Name: "n", Labels: selected, Ready: true}},
			want:   []string{"set n"},
		},
		"labels changed and still match": {
			before: []*Node{{Name: "n", Labels: selected}},
			after:  []*Node{{Name: "n", Labels: labels.Set{"pool": "a", "x": "y"}}},
			want:   []string{"set n"},
		},
		"a node that begins to match is set": {
			before: []*Node{{Name: "n", Labels: other}},
			after:  []*Node{{Name: "n", Labels: selected}},
			want:   []string{"set n"},
		},
		"a node that no longer matches is removed": {
			before: []*Node{{Name: "n", Labels: selected}},
			after:  []*Node{{Name: "n", Labels: other}},
			want:   []string{"remove n"},
		},
		"a node that is gone is removed": {
			before: []*Node{{Name: "n", Labels: selected}},
			want:   []string{"remove n"},
		},
		"a node that is gone and never matched is not": {
			before: []*Node{{Name: "n", Labels: other}},
		},
	}
	// The same change comes as events or as a LIST after a gap.
	ways := map[string]func(nodes *Nodes, before, after []*Node){
		"events": func(nodes *Nodes, before, after []*Node) {
			for _, node := range after {
				nodes.set(node)
			}
			if len(after) == 0 {
				nodes.remove(before[0])
			}
		},
		"list": func(nodes *Nodes, _, after []*Node) { nodes.replace(after) },
	}
	for name, test := range tests {
		for way, apply := range ways {
			t.Run(name+", by "+way, func(t *testing.T) {
				t.Parallel()
				var got []string
				nodes := newNodes(labels.SelectorFromSet(selected))
				nodes.replace(test.before)
				nodes.OnChange(
					func(node *Node) { got = append(got, "set "+node.Name) },
					func(name string) { got = append(got, "remove "+name) },
				)
				apply(nodes, test.before, test.after)
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// A5: the server's own node selector.
func TestNodeSelectorAppliesToListAndNotToGet(t *testing.T) {
	t.Parallel()
	selector, err := labels.Parse("skipKey!=skipValue")
	if err != nil {
		t.Fatal(err)
	}
	nodes := newNodes(selector)
	nodes.replace([]*Node{
		{Name: "node3", Labels: labels.Set{"labelKey": "otherValue"}},
		{Name: "node1", Labels: labels.Set{"labelKey": "labelValue"}},
		{Name: "node5", Labels: labels.Set{"skipKey": "skipValue"}},
		{Name: "node2"},
	})
	for selector, want := range map[string][]string{
		"":                    {"node1", "node2", "node3"},
		"labelKey=labelValue": {"node1"},
		"skipKey":             nil,
	} {
		selector, err := labels.Parse(selector)
		if err != nil {
			t.Fatal(err)
		}
		list := nodes.List(selector)
		got := make([]string, 0, len(list))
		for _, node := range list {
			got = append(got, node.Name)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("nodes that match %q (-want +got):\n%s", selector, diff)
		}
	}
	if _, ok := nodes.Get("node5"); !ok {
		t.Error("a node that the selector does not match cannot be got")
	}
}
