// Package apitest drives groups of metrics in tests: by a generic API server, a catalog made of a rules file, and a
// backend that is a map.
package apitest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	apiopenapi "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/rest"
	basecompatibility "k8s.io/component-base/compatibility"
	openapicommon "k8s.io/kube-openapi/pkg/common"

	"github.com/metrics-gateway/metrics-gateway/pkg/provider/resource/openapi"
)

// API is what a Server serves.
type API interface {
	Scheme() *runtime.Scheme
	Install(server *genericapiserver.GenericAPIServer) error
}

// Server serves an API as it is in production, but for authentication. Whoever asks may do everything, and it is noted what.
type Server struct {
	URL string
	// Handler is what answers there.
	Handler http.Handler

	mu       sync.Mutex
	reviewed []string
}

// NewServer returns a Server that runs until the test ends. The definitions are those of the API's types; those that
// every server needs are added.
func NewServer(tb testing.TB, api API, definitions openapicommon.GetOpenAPIDefinitions) *Server {
	tb.Helper()
	s := &Server{}
	config := genericapiserver.NewConfig(serializer.NewCodecFactory(api.Scheme()))
	config.ExternalAddress = "localhost:443"
	config.LoopbackClientConfig = &rest.Config{}
	config.EffectiveVersion = basecompatibility.NewEffectiveVersionFromString("1.37", "", "")
	config.Authorization.Authorizer = authorizer.AuthorizerFunc(s.review)
	all := func(ref openapicommon.ReferenceCallback) map[string]openapicommon.OpenAPIDefinition {
		merged := openapi.GetOpenAPIDefinitions(ref)
		maps.Copy(merged, definitions(ref))
		return merged
	}
	namer := apiopenapi.NewDefinitionNamer(api.Scheme())
	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(all, namer)
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(all, namer)

	server, err := config.Complete(nil).New("test", genericapiserver.NewEmptyDelegate())
	if err != nil {
		tb.Fatal(err)
	}
	if err := api.Install(server); err != nil {
		tb.Fatal(err)
	}
	server.PrepareRun()
	listener := httptest.NewServer(server.Handler)
	tb.Cleanup(func() {
		listener.Close()
		server.Destroy()
	})
	s.URL, s.Handler = listener.URL, server.Handler
	return s
}

// review allows everything and notes what it was asked.
func (s *Server) review(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.IsResourceRequest() {
		resource := a.GetResource()
		if a.GetSubresource() != "" {
			resource += "/" + a.GetSubresource()
		}
		s.reviewed = append(s.reviewed, fmt.Sprintf("%s %s %s name=%s namespace=%s", a.GetVerb(), a.GetAPIGroup(), resource, a.GetName(), a.GetNamespace()))
	}
	return authorizer.DecisionAllow, "", nil
}

// Reviewed returns the attributes of requests for resources, in order.
func (s *Server) Reviewed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.reviewed)
}

// Answer is the answer to a request.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Get returns the answer to a GET.
func (s *Server) Get(tb testing.TB, path, accept string) Answer {
	tb.Helper()
	request, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, s.URL+path, http.NoBody)
	if err != nil {
		tb.Fatal(err)
	}
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		tb.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return Answer{response.StatusCode, response.Header, body}
}

// GetJSON decodes the body of the answer to a GET that must have the status.
func GetJSON[T any](tb testing.TB, s *Server, path string, status int) T {
	tb.Helper()
	answer := s.Get(tb, path, "application/json")
	if answer.Status != status {
		tb.Fatalf("GET %s: status %d, want %d: %s", path, answer.Status, status, answer.Body)
	}
	return Decode[T](tb, answer.Body)
}

// Decode decodes a body.
func Decode[T any](tb testing.TB, body []byte) T {
	tb.Helper()
	var object T
	if err := json.Unmarshal(body, &object); err != nil {
		tb.Fatalf("%v in %s", err, body)
	}
	return object
}
