package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"

	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/fetch"
)

// Listing is what it costs to list all series of some selectors, as prometheus-adapter does at each relist.
type Listing struct {
	Series int
	// Bytes are those of the answers, decompressed.
	Bytes int64
	// CPU and Peak are those of the process that lists.
	CPU  time.Duration
	Peak int64
}

// ListSeries asks for all series since a time, for every selector at once, decodes them as prometheus-adapter does and
// keeps them, and tells what that has cost this process from its start on.
func ListSeries(ctx context.Context, address string, since time.Time, selectors []string) (Listing, error) {
	series := make([][]model.Metric, len(selectors))
	bytes := make([]int64, len(selectors))
	group, ctx := errgroup.WithContext(ctx)
	for i, selector := range selectors {
		group.Go(func() error {
			query := url.Values{"match[]": {selector}, "start": {strconv.FormatInt(since.Unix(), 10)}}
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/api/v1/series?"+query.Encode(), http.NoBody)
			if err != nil {
				return err
			}
			body, err := fetch.Body(http.DefaultClient, request)
			if err != nil {
				return err
			}
			bytes[i] = int64(len(body))
			var answer struct{ Data json.RawMessage }
			if err := json.Unmarshal(body, &answer); err != nil {
				return fmt.Errorf("series of %s: %w", selector, err)
			}
			if err := json.Unmarshal(answer.Data, &series[i]); err != nil {
				return fmt.Errorf("series of %s: %w", selector, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return Listing{}, err
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return Listing{}, err
	}
	listing := Listing{
		CPU:  time.Duration(usage.Utime.Nano() + usage.Stime.Nano()),
		Peak: usage.Maxrss << 10,
	}
	for i := range series {
		listing.Series += len(series[i])
		listing.Bytes += bytes[i]
	}
	return listing, nil
}

// freePort returns a port of 127.0.0.1 that nobody listens on.
func freePort(ctx context.Context) (int, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.New("listener is not of TCP")
	}
	return address.Port, nil
}
