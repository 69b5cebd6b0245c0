package prometheus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxGetBytes is how long the encoded parameters of a GET request may be. The shortest limit in common use for a
// request line is the 8 KiB of nginx and Apache.
const maxGetBytes = 8 << 10

// maxTimeoutMargin is how much earlier than the client the backend gives up at most.
const maxTimeoutMargin = time.Second

// endpoint is one endpoint of the API.
type endpoint struct {
	// name is the value of the label api of the metrics.
	name string
	// path may have a variable ":name", which takes the value of variable.
	path, variable string
	// getOnly is set where the API knows no POST.
	getOnly bool
}

// newRequest returns the request with the parameters, and with the timeout that follows from the deadline of ctx.
func (c *Client) newRequest(ctx context.Context, to endpoint, params url.Values) (*http.Request, error) {
	timeout, err := serverTimeout(ctx)
	if err != nil {
		return nil, err
	}
	params.Set("timeout", timeout)
	encoded := params.Encode()

	u := c.api.URL(to.path, map[string]string{"name": to.variable})
	var request *http.Request
	if !to.getOnly && (c.method == http.MethodPost || len(encoded) > maxGetBytes) {
		request, err = http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(encoded))
		if err != nil {
			return nil, fmt.Errorf("request: %w", err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		// A key that is empty is not sent. It tells net/http that the request may be repeated when an idle
		// connection turns out to be closed.
		request.Header["Idempotency-Key"] = nil
	} else {
		// Of parameters of one name the backend takes the first, as it takes those of a form first.
		u.RawQuery = strings.TrimSuffix(encoded+"&"+u.RawQuery, "&")
		request, err = http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
		if err != nil {
			return nil, fmt.Errorf("request: %w", err)
		}
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Accept-Encoding", "gzip")
	return request, nil
}

// serverTimeout returns the parameter timeout: a little less than what is left until the deadline of ctx, in
// seconds. So the backend stops computing when nobody waits any more, and there is time for its error to arrive.
// Prometheus and Thanos know the parameter for queries, VictoriaMetrics for all requests; others ignore it.
func serverTimeout(ctx context.Context) (string, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return "", errors.New("context has no deadline")
	}
	left := time.Until(deadline)
	left -= min(left/10, maxTimeoutMargin)
	if left < time.Millisecond {
		return "", failure(ClassTimeout, context.DeadlineExceeded, "was not asked, no time is left for an answer")
	}
	return formatSeconds(left.Milliseconds()), nil
}

// formatSeconds returns milliseconds as the API writes times and durations.
func formatSeconds(milliseconds int64) string {
	return strconv.FormatFloat(float64(milliseconds)/1000, 'f', -1, 64)
}
