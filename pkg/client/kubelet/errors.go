package kubelet

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// Reason classifies a failed fetch. The set is small and fixed, so that it can be the label of a metric.
type Reason string

const (
	// ReasonAddress means that the node has no usable address, or one that is refused.
	ReasonAddress Reason = "address"
	// ReasonDNS means that the node's host name could not be resolved.
	ReasonDNS Reason = "dns"
	// ReasonConnection means that there was no connection, or that it broke before the kubelet answered.
	ReasonConnection Reason = "connection"
	// ReasonTLS means that one side did not accept the other's certificate, or does not speak TLS.
	ReasonTLS Reason = "tls"
	// ReasonTimeout means that the whole page did not arrive in time.
	ReasonTimeout Reason = "timeout"
	// ReasonCanceled means that the caller gave the fetch up.
	ReasonCanceled Reason = "canceled"
	// ReasonUnauthorized means that the kubelet does not know the gateway's identity (401).
	ReasonUnauthorized Reason = "unauthorized"
	// ReasonForbidden means that the gateway's identity lacks a permission (403).
	ReasonForbidden Reason = "forbidden"
	// ReasonStatus means any other status than 200, redirects included.
	ReasonStatus Reason = "status"
	// ReasonTruncated means that the page ended early or could not be decompressed.
	ReasonTruncated Reason = "truncated"
	// ReasonTooLarge means that the page is over MaxPageBytes or MaxContainers.
	ReasonTooLarge Reason = "too_large"
	// ReasonKubeletError means that the kubelet says on the page that it could not collect its metrics.
	ReasonKubeletError Reason = "kubelet_error"
	// ReasonNotMetrics means that the page has no usable sample, as when something else than a kubelet answered.
	ReasonNotMetrics Reason = "not_metrics"
)

// FetchError is the error of Client.Fetch and Decoder.Decode.
type FetchError struct {
	Reason Reason
	// Err says in one sentence what failed and, where there is one, the next step.
	Err error
}

// Error returns the text of Err.
func (e *FetchError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *FetchError) Unwrap() error { return e.Err }

func failure(reason Reason, format string, args ...any) *FetchError {
	return &FetchError{Reason: reason, Err: fmt.Errorf(format, args...)}
}

// requestError classifies the error of a request that brought no response.
func requestError(err error) *FetchError {
	var (
		refused *refusedAddressError
		lookup  *net.DNSError
	)
	switch {
	case errors.As(err, &refused):
		return failure(ReasonAddress, "%w", err)
	case errors.As(err, &lookup):
		return failure(ReasonDNS, "%w: let the gateway's DNS resolve the names of nodes, or put InternalIP first in --kubelet-preferred-address-types", err)
	case isTLS(err):
		return failure(ReasonTLS, "%w%s", err, remedyTLS(err))
	}
	return interrupted(err, ReasonConnection)
}

// interrupted classifies an error that the end of the request's context may have brought about.
func interrupted(err error, otherwise Reason) *FetchError {
	var network net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return failure(ReasonCanceled, "%w", err)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return failure(ReasonTimeout, "kubelet did not answer in time: %w: see why the node is slow, or raise --kubelet-request-timeout", err)
	default:
		return failure(otherwise, "%w", err)
	}
}

// isTLS tells whether err came out of a handshake. Most errors of crypto/tls have no type that is exported, only
// their prefix.
func isTLS(err error) bool {
	return errors.Is(err, http.ErrSchemeMismatch) || strings.Contains(err.Error(), "tls: ")
}

// remedyTLS names the next step for the errors that users meet most.
func remedyTLS(err error) string {
	var (
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		alert     *net.OpError
	)
	switch {
	case errors.As(err, &authority):
		return ": give the CA of the kubelets' serving certificates with --kubelet-certificate-authority, or let the cluster sign them (serverTLSBootstrap of the kubelet)"
	case errors.As(err, &host):
		return ": issue kubelet serving certificates that name this address (serverTLSBootstrap of the kubelet), or put a type that they name first in --kubelet-preferred-address-types"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return ": renew the kubelet's serving certificate, and compare the clocks"
	case errors.As(err, &alert) && alert.Op == "remote error":
		return ": the kubelet ended the handshake, check --kubelet-client-certificate"
	case errors.Is(err, http.ErrSchemeMismatch):
		return ": the port does not speak TLS, check --kubelet-port"
	default:
		return ""
	}
}

// statusError classifies a response other than 200. The kubelet's own words are left out: they are not to be
// trusted in a log.
func statusError(code int) *FetchError {
	status := strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code)))
	switch {
	case code == http.StatusUnauthorized:
		return failure(ReasonUnauthorized, "kubelet answered %s: it must accept the gateway's token (authentication.webhook of the kubelet) or its client certificate (authentication.x509)", status)
	case code == http.StatusForbidden:
		return failure(ReasonForbidden, "kubelet answered %s: the gateway's identity needs get on nodes/metrics", status)
	case code >= 300 && code < 400:
		return failure(ReasonStatus, "kubelet answered %s: redirects are not followed", status)
	default:
		return failure(ReasonStatus, "kubelet answered %s", status)
	}
}
