package resource

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/metrics/pkg/apis/metrics"

	"github.com/metrics-gateway/metrics-gateway/pkg/objects"
)

// podStorage serves PodMetrics.
type podStorage struct {
	pods    PodLister
	answers answers[*objects.Pod]
}

var (
	_ rest.Storage              = (*podStorage)(nil)
	_ rest.Scoper               = (*podStorage)(nil)
	_ rest.SingularNameProvider = (*podStorage)(nil)
	_ rest.Getter               = (*podStorage)(nil)
	_ rest.Lister               = (*podStorage)(nil)
)

// New implements rest.Storage.
func (*podStorage) New() runtime.Object { return &metrics.PodMetrics{} }

// Destroy implements rest.Storage.
func (*podStorage) Destroy() {}

// NewList implements rest.Lister.
func (*podStorage) NewList() runtime.Object { return &metrics.PodMetricsList{} }

// NamespaceScoped implements rest.Scoper.
func (*podStorage) NamespaceScoped() bool { return true }

// GetSingularName implements rest.SingularNameProvider. An empty name makes clients guess it from the kind, so that
// `kubectl get podmetrics` works and "pod" stays the core group's.
func (*podStorage) GetSingularName() string { return "" }

// Get implements rest.Getter.
func (s *podStorage) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	namespace := genericapirequest.NamespaceValue(ctx)
	pod, ok := s.pods.Get(namespace, name)
	if !ok && !s.pods.HasSynced() {
		return nil, errPodsNotSynced()
	}
	if !ok {
		return nil, apierrors.NewNotFound(corev1.Resource("pods"), name)
	}
	podMetrics, ok, err := s.answers.one(ctx, pod)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, apierrors.NewNotFound(metrics.Resource("podmetrics"), namespace+"/"+name)
	}
	return podMetrics, nil
}

// List implements rest.Lister.
func (s *podStorage) List(ctx context.Context, options *metainternalversion.ListOptions) (runtime.Object, error) {
	if !s.pods.HasSynced() {
		return nil, errPodsNotSynced()
	}
	pods := s.pods.List(genericapirequest.NamespaceValue(ctx), labelSelector(options))
	if selector := options.FieldSelector; selector != nil && !selector.Empty() {
		pods = slices.DeleteFunc(pods, func(pod *objects.Pod) bool { return !selector.Matches(podFields{pod}) })
	}
	return s.answers.all(ctx, pods, options)
}

// ConvertToTable implements rest.TableConvertor.
func (*podStorage) ConvertToTable(_ context.Context, object, options runtime.Object) (*metav1.Table, error) {
	return convertToTable(object, options)
}

func podPosition(pod *objects.Pod) position {
	return position{Namespace: pod.Namespace, Name: pod.Name}
}

func errPodsNotSynced() error {
	return apierrors.NewServiceUnavailable("pods are not known yet: waiting for the first list from the API server")
}

// podFields are the fields that a field selector may name. Nodes have only the first two, which the scheme knows.
type podFields struct{ *objects.Pod }

var _ fields.Fields = podFields{}

const (
	fieldName      = "metadata.name"
	fieldNamespace = "metadata.namespace"
	fieldNode      = "spec.nodeName"
)

// convertPodField accepts the fields of podFields. Its error is what clients get with 400.
func convertPodField(label, value string) (string, string, error) {
	if !(podFields{}).Has(label) {
		return "", "", fmt.Errorf("%q is not a known field selector: only %q, %q, %q",
			label, fieldName, fieldNamespace, fieldNode)
	}
	return label, value, nil
}

// Has implements fields.Fields.
func (podFields) Has(field string) bool {
	return field == fieldName || field == fieldNamespace || field == fieldNode
}

// Get implements fields.Fields.
func (p podFields) Get(field string) string {
	switch field {
	case fieldName:
		return p.Name
	case fieldNamespace:
		return p.Namespace
	case fieldNode:
		return p.Node
	default:
		return ""
	}
}
