package naming

import "fmt"

// Class is the kind of reason for which a request has no answer.
type Class int

// The classes of errors, with the HTTP status that each is meant to become.
const (
	// UnknownMetric: no rule yields a metric of this name. 404.
	UnknownMetric Class = iota + 1
	// UnknownResource: the cluster has no such kind of object. 404.
	UnknownResource
	// WrongObject: there is such a metric, but not for this kind of object or not on this path. 404.
	WrongObject
	// InvalidName: the name of a namespace or an object is none that Kubernetes allows. 404.
	InvalidName
	// NoObjects: no object is asked for; a selector has matched none. 404.
	NoObjects
	// InvalidSelector: the metric selector cannot be expressed in PromQL. 400.
	InvalidSelector
	// NoQuery: the rule yields no usable query for this request. 404 for a custom metric, 500 for an external one.
	NoQuery
	// Unrepresentable: a value cannot be told in a quantity, and leaving it out would be a lie. 500.
	Unrepresentable
)

// String names the class in words.
func (c Class) String() string {
	switch c {
	case UnknownMetric:
		return "unknown metric"
	case UnknownResource:
		return "unknown resource"
	case WrongObject:
		return "wrong object"
	case InvalidName:
		return "invalid name"
	case NoObjects:
		return "no objects"
	case InvalidSelector:
		return "invalid selector"
	case NoQuery:
		return "no query"
	case Unrepresentable:
		return "unrepresentable"
	default:
		return fmt.Sprintf("class %d", int(c))
	}
}

// Error is why a request has no answer.
type Error struct {
	Class Class
	// Rule is the ID of the rule that was to answer, empty when none was.
	Rule string
	// Message is one sentence for the user, without the rule.
	Message string
}

// Error returns the message after the rule it is about.
func (e *Error) Error() string {
	if e.Rule == "" {
		return e.Message
	}
	return e.Rule + ": " + e.Message
}

func refuse(class Class, format string, args ...any) *Error {
	return &Error{Class: class, Message: fmt.Sprintf(format, args...)}
}

// by returns e with the rule that it is about.
func (e *Error) by(rule string) *Error {
	e.Rule = rule
	return e
}
