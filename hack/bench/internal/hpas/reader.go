// Package hpas reads metrics as the HPA controller does, as fast as it goes or in the controller's pace.
package hpas

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"

	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/fetch"
)

// What is accepted: Protobuf is what the HPA controller asks for, JSON what people and scripts do.
const (
	Protobuf = "application/vnd.kubernetes.protobuf, */*"
	JSON     = "application/json"
)

// requestTimeout is that of the kube-apiserver between the controller and a server.
const requestTimeout = time.Minute

// Reader reads from one server. It is safe for concurrent use.
type Reader struct {
	client     *http.Client
	url, token string
}

// NewReader returns a reader of the server at a URL. It presents a token, and keeps one connection with HTTP/2 as the
// kube-aggregator does.
func NewReader(serverURL, token string) *Reader {
	return &Reader{url: serverURL, token: token, client: &http.Client{
		Timeout: requestTimeout,
		Transport: &http.Transport{
			// The certificates of servers under measurement are their own.
			TLSClientConfig:    &tls.Config{InsecureSkipVerify: true},
			DisableCompression: true,
			ForceAttemptHTTP2:  true,
		},
	}}
}

// Request is what one metric of the pods that a selector selects is asked for with.
func (r *Reader) Request(ctx context.Context, namespace, selector, metric, accept string) (*http.Request, error) {
	u := r.url + "/apis/custom.metrics.k8s.io/v1beta2/namespaces/" + namespace + "/pods/*/" + metric +
		"?labelSelector=" + url.QueryEscape(selector)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept)
	request.Header.Set("Authorization", "Bearer "+r.token)
	request.Header.Set("User-Agent", "kube-controller-manager/bench")
	return request, nil
}

// Read makes a request and returns the body, and how long that took.
func (r *Reader) Read(request *http.Request) ([]byte, time.Duration, error) {
	begun := time.Now()
	body, err := fetch.Body(r.client, request)
	return body, time.Since(begun), err
}

// protobufPrefix is what Kubernetes' Protobuf begins with.
var protobufPrefix = []byte("k8s\x00")

// Decode decodes an answer, whichever encoding it has.
func Decode(body []byte) (*v1beta2.MetricValueList, error) {
	list := new(v1beta2.MetricValueList)
	if rest, ok := bytes.CutPrefix(body, protobufPrefix); ok {
		var envelope runtime.Unknown
		if err := envelope.Unmarshal(rest); err != nil {
			return nil, fmt.Errorf("envelope of an answer: %w", err)
		}
		if envelope.Kind != "MetricValueList" {
			return nil, fmt.Errorf("answer is a %q", envelope.Kind)
		}
		if err := list.Unmarshal(envelope.Raw); err != nil {
			return nil, fmt.Errorf("answer: %w", err)
		}
		return list, nil
	}
	if err := json.Unmarshal(body, list); err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	if !strings.HasSuffix(list.Kind, "List") {
		return nil, errors.New("answer is no list")
	}
	return list, nil
}
