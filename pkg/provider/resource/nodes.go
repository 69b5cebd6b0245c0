package resource

import (
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/metrics/pkg/apis/metrics"

	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
)

// nodeStorage serves NodeMetrics.
type nodeStorage struct {
	nodes   NodeLister
	answers answers[*objects.Node]
}

var (
	_ rest.Storage              = (*nodeStorage)(nil)
	_ rest.Scoper               = (*nodeStorage)(nil)
	_ rest.SingularNameProvider = (*nodeStorage)(nil)
	_ rest.Getter               = (*nodeStorage)(nil)
	_ rest.Lister               = (*nodeStorage)(nil)
)

// New implements rest.Storage.
func (*nodeStorage) New() runtime.Object { return &metrics.NodeMetrics{} }

// Destroy implements rest.Storage.
func (*nodeStorage) Destroy() {}

// NewList implements rest.Lister.
func (*nodeStorage) NewList() runtime.Object { return &metrics.NodeMetricsList{} }

// NamespaceScoped implements rest.Scoper.
func (*nodeStorage) NamespaceScoped() bool { return false }

// GetSingularName implements rest.SingularNameProvider. It is empty for the reason given at pods.
func (*nodeStorage) GetSingularName() string { return "" }

// Get implements rest.Getter.
func (s *nodeStorage) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	node, ok := s.nodes.Get(name)
	if !ok && !s.nodes.HasSynced() {
		return nil, errNodesNotSynced()
	}
	if !ok {
		// The singular is metrics-server's, and people search for its messages.
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "node"}, name)
	}
	nodeMetrics, ok, err := s.answers.one(ctx, node)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, apierrors.NewNotFound(metrics.Resource("nodemetrics"), name)
	}
	return nodeMetrics, nil
}

// List implements rest.Lister.
func (s *nodeStorage) List(ctx context.Context, options *metainternalversion.ListOptions) (runtime.Object, error) {
	if !s.nodes.HasSynced() {
		return nil, errNodesNotSynced()
	}
	nodes := s.nodes.List(labelSelector(options))
	if selector := options.FieldSelector; selector != nil && !selector.Empty() {
		nodes = slices.DeleteFunc(nodes, func(node *objects.Node) bool {
			return !selector.Matches(fields.Set{fieldName: node.Name})
		})
	}
	return s.answers.all(ctx, nodes, options)
}

// ConvertToTable implements rest.TableConvertor.
func (*nodeStorage) ConvertToTable(_ context.Context, object, options runtime.Object) (*metav1.Table, error) {
	return convertToTable(object, options)
}

func nodePosition(node *objects.Node) position {
	return position{Name: node.Name}
}

func errNodesNotSynced() error {
	return apierrors.NewServiceUnavailable("nodes are not known yet: waiting for the first list from the API server")
}
