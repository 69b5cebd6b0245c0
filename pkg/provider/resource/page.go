package resource

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

const (
	// maxContinueLength is the longest continue token that is decoded, in bytes. The longest that is issued, for a
	// namespace of 63 bytes and a name of 253, is half of it.
	maxContinueLength = 1024
	// continueVersion is that of the tokens issued. It changes with the meaning of their fields.
	continueVersion = 1
)

// position is where in a sorted list an object stands. Namespace is empty for objects without one.
type position struct {
	Namespace string `json:"ns,omitempty"`
	Name      string `json:"n"`
}

func (p position) compare(other position) int {
	if c := strings.Compare(p.Namespace, other.Namespace); c != 0 {
		return c
	}
	return strings.Compare(p.Name, other.Name)
}

// continueToken is what a continue token says: the position of the last object that was returned. It holds no
// state of the server, so that it never expires and any replica understands it. Objects that come or go between
// two pages neither repeat nor hide others.
type continueToken struct {
	Version int `json:"v"`
	position
}

func encodeContinue(last position) (string, error) {
	data, err := json.Marshal(continueToken{Version: continueVersion, position: last})
	if err != nil {
		return "", fmt.Errorf("continue token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(data), nil
}

// decodeContinue returns the position of a token that encodeContinue returned. Anything else is an error: 410 for a
// token of another version, on which clients list again from the beginning, and 400 for the rest.
func decodeContinue(value string) (position, error) {
	invalid := apierrors.NewBadRequest("continue key is not valid")
	if len(value) > maxContinueLength {
		return position{}, invalid
	}
	data, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		return position{}, invalid
	}
	var token continueToken
	if err := json.Unmarshal(data, &token); err != nil {
		return position{}, invalid
	}
	if token.Version != continueVersion {
		return position{}, apierrors.NewResourceExpired(
			"the continue key is of another version of this server: list again without it")
	}
	if issued, err := encodeContinue(token.position); err != nil || issued != value {
		return position{}, invalid
	}
	return token.position, nil
}

// after returns those of objects, which are sorted by position, that come after options.Continue.
func after[O any](objects []O, options *metainternalversion.ListOptions, positionOf func(O) position) ([]O, error) {
	if options.Continue == "" {
		return objects, nil
	}
	last, err := decodeContinue(options.Continue)
	if err != nil {
		return nil, err
	}
	start, found := slices.BinarySearchFunc(objects, last, func(object O, last position) int {
		return positionOf(object).compare(last)
	})
	if found {
		start++
	}
	return objects[start:], nil
}

// page returns the metrics of objects, which are sorted by position: all from after options.Continue or
// options.Limit of them. Objects without metrics are left out and do not count towards the limit.
func page[O, M any](
	objects []O,
	options *metainternalversion.ListOptions,
	positionOf func(O) position,
	metricsOf func(O) (M, bool),
) ([]M, metav1.ListMeta, error) {
	objects, err := after(objects, options, positionOf)
	if err != nil {
		return nil, metav1.ListMeta{}, err
	}

	limit := len(objects)
	if options.Limit > 0 {
		limit = int(min(options.Limit, int64(limit)))
	}
	items := make([]M, 0, limit)
	var last position
	for i, object := range objects {
		item, ok := metricsOf(object)
		if !ok {
			continue
		}
		if len(items) == limit {
			listMeta, err := continueAfter(last, len(objects)-i, options)
			return items, listMeta, err
		}
		items = append(items, item)
		last = positionOf(object)
	}
	return items, metav1.ListMeta{}, nil
}

// cut returns the objects of a page for whose metrics one asks before it is known which of them have any: all from after
// options.Continue or options.Limit of them. Objects without metrics count towards the limit, so that a page may be
// shorter than it, or even empty, while others follow. The API allows that: only the continue token tells whether a
// list has ended.
func cut[O any](objects []O, options *metainternalversion.ListOptions, positionOf func(O) position) ([]O, metav1.ListMeta, error) {
	objects, err := after(objects, options, positionOf)
	if err != nil || options.Limit <= 0 || options.Limit >= int64(len(objects)) {
		return objects, metav1.ListMeta{}, err
	}
	limit := int(options.Limit)
	listMeta, err := continueAfter(positionOf(objects[limit-1]), len(objects)-limit, options)
	return objects[:limit], listMeta, err
}

// continueAfter returns the metadata of a list that does not end with the object at last.
func continueAfter(last position, remaining int, options *metainternalversion.ListOptions) (metav1.ListMeta, error) {
	token, err := encodeContinue(last)
	if err != nil {
		return metav1.ListMeta{}, err
	}
	listMeta := metav1.ListMeta{Continue: token}
	// As in every API server, the count is an estimate, here one that includes objects without metrics, and not given
	// with selectors.
	if labelSelector(options).Empty() && (options.FieldSelector == nil || options.FieldSelector.Empty()) {
		count := int64(remaining)
		listMeta.RemainingItemCount = &count
	}
	return listMeta, nil
}

// labelSelector returns the label selector of a request, which may have none.
func labelSelector(options *metainternalversion.ListOptions) labels.Selector {
	if options.LabelSelector == nil {
		return labels.Everything()
	}
	return options.LabelSelector
}
