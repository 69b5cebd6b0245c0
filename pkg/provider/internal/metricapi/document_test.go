package metricapi

import (
	"net/http"
	"net/http/httptest"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
)

func TestWhichRequestsTakeTheKeptDocument(t *testing.T) {
	t.Parallel()
	codecs := serializer.NewCodecFactory(NewScheme(func(*runtime.Scheme) {}))
	d := document{serializer: codecs, version: metav1.SchemeGroupVersion}
	for name, test := range map[string]struct {
		accept, agent, query string
		audited              auditinternal.Level
		want                 bool
	}{
		"the kube-aggregator's, which does not say": {want: true},
		"one for JSON or anything":                  {accept: "application/json, */*", want: true},
		"one for Protobuf":                          {accept: "application/vnd.kubernetes.protobuf"},
		"one for YAML":                              {accept: "application/yaml"},
		"one for what there is not":                 {accept: "text/html"},
		"one for indented JSON":                     {query: "?pretty=1"},
		"curl's, which gets indented JSON":          {agent: "curl/8"},
		"one that is recorded":                      {audited: auditinternal.LevelRequest, want: true},
		"one that is recorded with its answer":      {audited: auditinternal.LevelRequestResponse},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := audit.WithAuditContext(t.Context())
			if test.audited != "" {
				if err := audit.AuditContextFrom(ctx).Init(audit.RequestAuditConfig{Level: test.audited}, nil); err != nil {
					t.Fatal(err)
				}
			}
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/apis/group/v1"+test.query, nil)
			r.Header = http.Header{"Accept": {test.accept}, "User-Agent": {test.agent}}
			if got := d.suits(r); got != test.want {
				t.Errorf("suits = %t, want %t", got, test.want)
			}
		})
	}
}
