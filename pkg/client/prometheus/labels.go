package prometheus

import (
	"context"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
)

// maxListed bounds a list of label names or values, whatever the caller allows. The largest Prometheus servers know
// some hundred thousand metric names.
const maxListed = 1_000_000

const (
	apiLabelNames  = "labels"
	apiLabelValues = "label_values"
)

// Scope says which series label names and values are listed of.
type Scope struct {
	// Matchers are series selectors; a series is in the scope if one of them selects it. None selects all series.
	Matchers []string
	// Start and End, both inclusive, bound the time in which a series must have had samples. Backends take them
	// roughly: Prometheus to its blocks of two hours, VictoriaMetrics to days. The zero time is no bound.
	Start, End time.Time
	// Limit is how many entries are wanted at most. Zero or less means a million, and more is never listed.
	Limit int
}

// Listing is what there is to say of a list besides its entries.
type Listing struct {
	// Count is how many entries were listed.
	Count int
	// Truncated tells that there are more entries than Scope.Limit. Which of them were listed is the backend's
	// choice.
	Truncated bool
	Notes
}

// LabelNames calls each with the label names of the series in scope, as they arrive and in the order of the
// backend. The error is an *Error; what was listed before one is right but may not be all.
func (c *Client) LabelNames(ctx context.Context, scope Scope, each func(name string)) (Listing, error) {
	return c.list(ctx, endpoint{name: apiLabelNames, path: "/api/v1/labels"}, scope, each)
}

// LabelValues calls each with the values that a label has on the series in scope, as they arrive and in the order
// of the backend. The values of __name__ are the names of metrics. The error is an *Error; what was listed before
// one is right but may not be all.
func (c *Client) LabelValues(ctx context.Context, label string, scope Scope, each func(value string)) (Listing, error) {
	if !model.LegacyValidation.IsValidLabelName(label) {
		// A path has room for few characters, so that the API takes other names in this form.
		label = model.EscapeName(label, model.ValueEncodingEscaping)
	}
	to := endpoint{name: apiLabelValues, path: "/api/v1/label/:name/values", variable: label, getOnly: true}
	return c.list(ctx, to, scope, each)
}

func (c *Client) list(ctx context.Context, to endpoint, scope Scope, each func(string)) (Listing, error) {
	limit := scope.Limit
	if limit <= 0 || limit > maxListed {
		limit = maxListed
	}
	params := url.Values{
		// One more than wanted shows whether there are more.
		"limit": {strconv.Itoa(limit + 1)},
	}
	if len(scope.Matchers) > 0 {
		params["match[]"] = scope.Matchers
	}
	if !scope.Start.IsZero() {
		params.Set("start", formatSeconds(scope.Start.UnixMilli()))
	}
	if !scope.End.IsZero() {
		params.Set("end", formatSeconds(scope.End.UnixMilli()))
	}
	var listing Listing
	err := c.call(ctx, to, params, func(d *decoder, body io.Reader) (err error) {
		listing, err = d.decodeList(body, limit, each)
		return err
	})
	if listing.Truncated {
		c.metrics.truncated.WithLabelValues(to.name).Inc()
	}
	return listing, err
}

// decodeList decodes the answer to a request for a list of strings.
func (d *decoder) decodeList(source io.Reader, limit int, each func(string)) (Listing, error) {
	var listing Listing
	err := d.document(source, func() {
		if d.null() {
			return
		}
		for range d.elements() {
			entry := d.str()
			switch {
			case d.err != nil:
			case listing.Count == limit:
				listing.Truncated = true
			default:
				each(string(entry))
				listing.Count++
			}
		}
	})
	listing.Notes = d.notes
	return listing, err
}
