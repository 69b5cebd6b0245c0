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
		accept, encoding, agent, query string
		audited                        auditinternal.Level
		want                           bool
	}{
		"the kube-aggregator's, which says what Go says": {encoding: "gzip", want: true},
		"one for JSON or anything":                       {accept: "application/json, */*", encoding: "gzip", want: true},
		"one that prefers JSON":                          {accept: "application/json", encoding: "deflate, gzip;q=1.0, gzip", want: true},
		"one without compression":                        {},
		"one for Protobuf":                               {accept: "application/vnd.kubernetes.protobuf", encoding: "gzip"},
		"one for YAML":                                   {accept: "application/yaml", encoding: "gzip"},
		"one for what there is not":                      {accept: "text/html", encoding: "gzip"},
		"one for indented JSON":                          {encoding: "gzip", query: "?pretty=1"},
		"curl's, which gets indented JSON":               {encoding: "gzip", agent: "curl/8"},
		"one that is recorded":                           {encoding: "gzip", audited: auditinternal.LevelRequest, want: true},
		"one that is recorded with its answer":           {encoding: "gzip", audited: auditinternal.LevelRequestResponse},
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
			r.Header = http.Header{"Accept": {test.accept}, "Accept-Encoding": {test.encoding}, "User-Agent": {test.agent}}
			if got := d.suits(r); got != test.want {
				t.Errorf("suits = %t, want %t", got, test.want)
			}
		})
	}
}
