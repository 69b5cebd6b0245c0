package metricapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	backend "github.com/metrics-gateway/metrics-gateway/pkg/client/prometheus"
	"github.com/metrics-gateway/metrics-gateway/pkg/kinds"
	"github.com/metrics-gateway/metrics-gateway/pkg/naming"
)

// NoValueError says that the query of a rule was evaluated and has no value for what was asked.
type NoValueError struct {
	Rule string
	// Object is the name of the one object that was asked for, if it was one.
	Object string
	// Why goes on after the rule.
	Why string
}

// Error returns the reason after the rule it is about.
func (e *NoValueError) Error() string { return e.Rule + ": " + e.Why }

// Undiscovered returns the error of a request for a metric that no rule makes: it may be one that the backend has yet to
// tell of, if why says so. Other errors stay as they are, and all do if why is nil.
func Undiscovered(err error, why func() error) error {
	refused, ok := errors.AsType[*naming.Error](err)
	if !ok || refused.Class != naming.UnknownMetric || why == nil {
		return err
	}
	if missing := why(); missing != nil {
		return &undiscoveredError{refused: refused, why: missing}
	}
	return err
}

// undiscoveredError says that a metric is not known, and that not all are known yet.
type undiscoveredError struct {
	refused *naming.Error
	why     error
}

func (e *undiscoveredError) Error() string {
	return fmt.Sprintf("%v so far: %v", e.refused, e.why)
}

// queryError says that a query of a rule could not be evaluated.
type queryError struct {
	rule string
	err  error
}

func (e *queryError) Error() string { return e.rule + ": " + e.err.Error() }
func (e *queryError) Unwrap() error { return e.err }

// partialError says that a rule does not want results that the backend warns of.
type partialError struct {
	rule    string
	warning string
}

func (e *partialError) Error() string {
	return e.rule + ": the result may be incomplete, which the rule does not permit: " + e.warning
}

// maxNameLength bounds what is repeated of a metric's name, in characters. Names that rules make are shorter, a request's may
// be anything.
const maxNameLength = 253

// Subject is what a request is about.
type Subject struct {
	Metric string
	// Of is where the metric is looked for: "for pods", "in namespace shop".
	Of string
	// External and Usage tell which of the APIs it is, neither custom.metrics.k8s.io: they answer differently if a rule
	// yields no query, and metrics.k8s.io, which has neither a metric to be unknown nor other objects than there are, if
	// one fails.
	External, Usage bool
}

func (s Subject) notFound(object string, err error) string {
	if object != "" {
		object = " " + object
	}
	return fmt.Sprintf("the server could not find the metric %.*s %s%s: %s", maxNameLength, s.Metric, s.Of, object, err)
}

// noValue is the class of NoValueError.
const noValue = "no_value"

// verdict is what becomes of an error.
type verdict struct {
	code int
	// class is the outcome in metrics and the type of the cause in the status.
	class   string
	rule    string
	message string
	// hidden tells that the message does not say what the error says, which therefore must be logged.
	hidden bool
}

// Failed counts an error and returns the status that the client gets for it.
//
// Its message is a sentence that names rule and backend, and neither URLs nor credentials. It never asks to retry
// later: client-go would sleep and retry in a worker of the HPA controller.
func (r *Reader) Failed(ctx context.Context, subject Subject, err error) error {
	v := judge(subject, err)
	if subject.Usage {
		v.rule = ResourceRules.ID()
	}
	r.metrics.count(v.code, v.rule, v.class)
	if v.hidden {
		klog.FromContext(ctx).Error(err, "Request failed", "rule", v.rule, "metric", subject.Metric)
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    int32(v.code),
		Reason:  reason(v.code),
		Message: v.message,
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: metav1.CauseType(v.class), Message: v.message}}},
	}}
}

// reason returns what the API calls an HTTP status.
func reason(code int) metav1.StatusReason {
	switch code {
	case http.StatusBadRequest:
		return metav1.StatusReasonBadRequest
	case http.StatusNotFound:
		return metav1.StatusReasonNotFound
	case http.StatusServiceUnavailable:
		return metav1.StatusReasonServiceUnavailable
	case http.StatusGatewayTimeout:
		return metav1.StatusReasonTimeout
	default:
		return metav1.StatusReasonInternalError
	}
}

// judge is the one table of errors and statuses.
func judge(subject Subject, err error) verdict {
	var (
		refused *naming.Error
		missing *NoValueError
		query   *queryError
		partial *partialError
		objects *kinds.Error
		unknown *undiscoveredError
		status  apierrors.APIStatus
	)
	switch {
	case errors.As(err, &unknown):
		return verdict{code: http.StatusServiceUnavailable, class: "not_discovered", message: subject.notFound("", unknown)}
	case errors.As(err, &refused):
		return judgeNaming(subject, refused)
	case errors.As(err, &missing):
		return verdict{code: http.StatusNotFound, class: noValue, rule: missing.Rule, message: subject.notFound(missing.Object, missing)}
	case errors.As(err, &query):
		v := judgeQuery(query)
		if subject.Usage {
			// Usage that cannot be had at the moment is one thing to its clients; the class tells the reasons apart.
			v.code = http.StatusServiceUnavailable
		}
		return v
	case errors.As(err, &partial):
		return verdict{code: http.StatusServiceUnavailable, class: "partial", rule: partial.rule, message: partial.Error()}
	case errors.Is(err, ErrNoRules):
		return verdict{code: http.StatusServiceUnavailable, class: "no_rules", message: err.Error()}
	case errors.As(err, &objects):
		return judgeObjects(subject, objects)
	case meta.IsNoMatchError(err):
		return verdict{
			code: http.StatusNotFound, class: "unknown_resource",
			message: subject.notFound("", errors.New("the cluster does not have this resource any more")),
		}
	case apierrors.IsBadRequest(err) && errors.As(err, &status):
		return verdict{code: http.StatusBadRequest, class: "bad_request", message: status.Status().Message}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return verdict{code: http.StatusGatewayTimeout, class: "timeout", message: "the request was not answered in time"}
	default:
		return verdict{
			code: http.StatusInternalServerError, class: "internal",
			message: "the request failed for a reason that the log of metrics-gateway tells", hidden: true,
		}
	}
}

func judgeNaming(subject Subject, err *naming.Error) verdict {
	v := verdict{class: strings.ReplaceAll(err.Class.String(), " ", "_"), rule: err.Rule, message: err.Error()}
	switch {
	case err.Class == naming.InvalidSelector:
		v.code = http.StatusBadRequest
	case err.Class == naming.Unrepresentable, err.Class == naming.NoQuery && subject.External, subject.Usage:
		v.code = http.StatusInternalServerError
	default:
		v.code, v.message = http.StatusNotFound, subject.notFound("", err)
	}
	return v
}

func judgeObjects(subject Subject, err *kinds.Error) verdict {
	switch err.Reason {
	case kinds.Unknown:
		return verdict{code: http.StatusNotFound, class: "unknown_resource", message: subject.notFound("", err)}
	case kinds.Unsynced:
		return verdict{code: http.StatusServiceUnavailable, class: "not_synced", message: err.Error()}
	case kinds.Forbidden:
		return verdict{code: http.StatusInternalServerError, class: "forbidden", message: err.Error()}
	default:
		return verdict{code: http.StatusInternalServerError, class: "not_selectable", message: err.Error()}
	}
}

func judgeQuery(err *queryError) verdict {
	v := verdict{code: http.StatusInternalServerError, rule: err.rule}
	failed, ok := errors.AsType[*backend.Error](err)
	switch {
	case ok:
		v.class, v.message = string(failed.Class), err.rule+": "+failed.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		v.code, v.class, v.message = http.StatusGatewayTimeout, "timeout", err.rule+": the query was not evaluated in time"
		return v
	default:
		v.class, v.message, v.hidden = "internal", err.rule+": the query failed for a reason that the log of metrics-gateway tells", true
		return v
	}
	switch failed.Class {
	case backend.ClassUnreachable, backend.ClassUnavailable, backend.ClassTruncated, backend.ClassTooManyRequests, backend.ClassOverloaded:
		v.code = http.StatusServiceUnavailable
	case backend.ClassTimeout, backend.ClassCanceled:
		v.code = http.StatusGatewayTimeout
	}
	return v
}
