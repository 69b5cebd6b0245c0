// Package openapi holds the OpenAPI definitions of everything that metrics.k8s.io serves: its own types of both
// versions and the types of apimachinery that each group, the discovery document and /version refer to.
// k8s.io/metrics publishes the types without their definitions.
package openapi

//go:generate go tool -modfile=../../../../hack/tools/openapi-gen/go.mod openapi-gen --output-dir=. --output-pkg=github.com/metrics-gateway/metrics-gateway/pkg/provider/resource/openapi --output-file=zz_generated.openapi.go --report-filename=/dev/null k8s.io/apimachinery/pkg/api/resource k8s.io/apimachinery/pkg/apis/meta/v1 k8s.io/apimachinery/pkg/runtime k8s.io/apimachinery/pkg/version k8s.io/metrics/pkg/apis/metrics/v1 k8s.io/metrics/pkg/apis/metrics/v1beta1
