package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Class is what kind of thing went wrong. The set is small and fixed, so that it can be the label of a metric.
type Class string

const (
	// ClassUnreachable means that there was no connection, or that it broke before the backend answered.
	ClassUnreachable Class = "unreachable"
	// ClassTimeout means that the whole answer did not arrive in time, or that the backend gave up in time.
	ClassTimeout Class = "timeout"
	// ClassCanceled means that the caller gave the call up.
	ClassCanceled Class = "canceled"
	// ClassUnauthorized means that the backend refused the credentials (401, 403), or that a file that holds them
	// cannot be used.
	ClassUnauthorized Class = "unauthorized"
	// ClassBadQuery means that the backend refused the query (400, 422) or its length (413, 414, 431).
	ClassBadQuery Class = "bad_query"
	// ClassTooManyRequests means that the backend limits requests (429).
	ClassTooManyRequests Class = "too_many_requests"
	// ClassUnavailable means that the backend failed for reasons of its own (5xx).
	ClassUnavailable Class = "unavailable"
	// ClassUnexpectedStatus means any other status than 2xx, redirects included: the URL is hardly that of the API.
	ClassUnexpectedStatus Class = "unexpected_status"
	// ClassNotJSON means that the answer is not the JSON of the API.
	ClassNotJSON Class = "not_json"
	// ClassTooLarge means that the answer is over a limit.
	ClassTooLarge Class = "too_large"
	// ClassOverloaded means that all answers together that are being read are over a limit.
	ClassOverloaded Class = "overloaded"
	// ClassTruncated means that the answer ended early.
	ClassTruncated Class = "truncated"
	// ClassUnexpectedResult means that the query evaluates to something else than a vector or a scalar.
	ClassUnexpectedResult Class = "unexpected_result"
)

// Error is the error of every call of a Client.
type Error struct {
	// Backend is the name of the backend.
	Backend string
	Class   Class
	// Code is the HTTP status of the answer, 0 when there was none.
	Code int
	// Reason goes on where the backend's name stands: "cannot be reached: connection refused". It holds neither
	// URL nor credentials, and of the backend's own words only a cleaned beginning.
	Reason string
	// Err is the cause where there is one. Its text may name addresses, which the reason does not.
	Err error
}

// Error returns one sentence that a user may see.
func (e *Error) Error() string { return fmt.Sprintf("backend %q %s", e.Backend, e.Reason) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// failure returns an Error whose Backend and Code are filled in by failed.
func failure(class Class, cause error, format string, args ...any) *Error {
	return &Error{Class: class, Reason: fmt.Sprintf(format, args...), Err: cause}
}

// failed returns the Error of an exchange that ended with err.
func (c *Client) failed(ctx context.Context, x *exchange, err error) *Error {
	e := c.classify(ctx, x, err)
	e.Backend, e.Code = c.name, x.code
	return e
}

func (c *Client) classify(ctx context.Context, x *exchange, err error) *Error {
	var classified *Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &classified):
		return classified
	case errors.Is(ctx.Err(), context.Canceled):
		return failure(ClassCanceled, context.Canceled, "was asked by a request that has been given up")
	// What err is does not matter: it may be that of the connection which the end of the context closed.
	case ctx.Err() != nil:
		return failure(ClassTimeout, context.DeadlineExceeded, "did not answer within %s", time.Since(x.start).Round(time.Millisecond))
	case errors.As(err, &tooLarge):
		return failure(ClassTooLarge, err, "answered with more than %d MiB", tooLarge.Limit>>20)
	case isCorrupt(err):
		return failure(ClassNotJSON, err, "answered with a corrupt gzip stream")
	case errors.Is(err, io.ErrUnexpectedEOF), x.code != 0:
		return failure(ClassTruncated, err, "ended its answer early")
	default:
		return unreachable(err)
	}
}

// statusError returns the error that an answer other than 2xx stands for.
func statusError(response *http.Response, document []byte) *Error {
	code := response.StatusCode
	errorType, message := parseError(response.Header.Get("Content-Type"), document)
	reason := func(what string) string {
		return what + fmt.Sprintf(" (HTTP %d)", code) + because(message)
	}
	switch {
	case code == http.StatusUnauthorized:
		return failure(ClassUnauthorized, nil, "does not accept the credentials (HTTP 401)")
	case code == http.StatusForbidden:
		return failure(ClassUnauthorized, nil, "does not permit the request with these credentials (HTTP 403)")
	case code == http.StatusRequestTimeout, code == http.StatusGatewayTimeout,
		code == http.StatusServiceUnavailable && errorType == errorTypeTimeout:
		return failure(ClassTimeout, nil, "%s", reason("did not answer in time"))
	case code == http.StatusBadRequest, code == http.StatusUnprocessableEntity:
		return failure(ClassBadQuery, nil, "%s", reason("refused the query"))
	case code == http.StatusRequestEntityTooLarge, code == http.StatusRequestURITooLong, code == http.StatusRequestHeaderFieldsTooLarge:
		return failure(ClassBadQuery, nil, "%s", reason("refused the length of the query"))
	case code == http.StatusTooManyRequests:
		return failure(ClassTooManyRequests, nil, "%s", reason("limits requests"))
	case code >= 500:
		return failure(ClassUnavailable, nil, "%s", reason("failed"))
	case code >= 300 && code < 400:
		return failure(ClassUnexpectedStatus, nil,
			"answered with a redirect (HTTP %d), which is not followed with credentials: its URL must be where the redirect leads", code)
	default:
		return failure(ClassUnexpectedStatus, nil, "answered with HTTP %d: check that its URL is that of a Prometheus API", code)
	}
}

// documentError returns the error that a document with status "error" stands for when the HTTP status says success.
func documentError(errorType, message string) *Error {
	message = because(sanitize(message))
	switch errorType {
	case errorTypeTimeout:
		return failure(ClassTimeout, nil, "did not answer in time%s", message)
	case "bad_data", "execution":
		return failure(ClassBadQuery, nil, "refused the query%s", message)
	default:
		return failure(ClassUnavailable, nil, "failed%s", message)
	}
}

// errorTypeTimeout is the errorType of a query that ran out of time. Prometheus sends it with status 503.
const errorTypeTimeout = "timeout"

// parseError returns what the document of an error says, cleaned. Proxies send HTML, which is not repeated. A server
// of Go that is asked in plain HTTP where it speaks TLS says so in text without a type.
func parseError(contentType string, document []byte) (errorType, message string) {
	var content struct{ ErrorType, Error string }
	if err := json.Unmarshal(document, &content); err == nil {
		return content.ErrorType, sanitize(content.Error)
	}
	if contentType == "" || strings.HasPrefix(contentType, "text/plain") {
		return "", sanitize(string(document))
	}
	return "", ""
}

func because(message string) string {
	if message == "" {
		return ""
	}
	return ": " + message
}
