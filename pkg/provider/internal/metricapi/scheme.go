package metricapi

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// NewScheme returns a scheme of the types that install adds, and of what the generic API server needs beside them:
// Status, discovery documents and the options of requests.
func NewScheme(install func(*runtime.Scheme)) *runtime.Scheme {
	scheme := runtime.NewScheme()
	install(scheme)
	metav1.AddToGroupVersion(scheme, metav1.Unversioned)
	return scheme
}
