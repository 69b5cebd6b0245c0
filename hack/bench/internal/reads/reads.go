// Package reads asks a server of metrics what its clients ask, takes the time, and checks every answer.
package reads

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"time"
)

const (
	requestTimeout = 2 * time.Minute
	// maxErrorBytes is how much of the body of an error is repeated.
	maxErrorBytes = 500
	// largeBytes is from when on an answer leaves so much garbage behind that the next one would be slowed down.
	largeBytes = 1 << 20
	// warmups are reads that do not count: connections, caches of authorization and buffers are there after them. One large
	// answer is enough.
	warmups = 3
)

// JSON and Protobuf are what clients accept.
const (
	JSON     = "application/json"
	Protobuf = "application/vnd.kubernetes.protobuf,application/json"
)

// Load is one kind of reads.
type Load struct {
	Name string
	// Path returns what the i-th read asks for.
	Path func(i int) string
	// Accept is the header of that name.
	Accept string
	// Gzip tells whether the answer may be compressed. It is not uncompressed again, and not checked then.
	Gzip bool
	// Check returns what is wrong with the answer to the i-th read, which was sent at a time.
	Check func(i int, body []byte, at time.Time) error
}

// Result is what reads have cost their reader.
type Result struct {
	// Latencies are from sending a request until its answer was read, in the order in which they were made.
	Latencies []time.Duration
	// Reads is how many were made, with those that are not among the latencies.
	Reads int
	// Bytes are those of the last answer.
	Bytes int64
	// Wall is how long it took, checks included.
	Wall time.Duration
}

// Reader reads from one server, over connections that are kept. It must not be used concurrently.
type Reader struct {
	url, token string
	client     *http.Client
	buffer     bytes.Buffer
}

// New returns a reader of a server with a token. Its certificate is not verified.
func New(url, token string, http2 bool) *Reader {
	return &Reader{url: url, token: token, client: &http.Client{
		Timeout: requestTimeout,
		Transport: &http.Transport{
			TLSClientConfig:    &tls.Config{InsecureSkipVerify: true},
			DisableCompression: true, // Whether answers may be compressed is for the load to say.
			ForceAttemptHTTP2:  http2,
		},
	}}
}

// Try reads once, and returns what is wrong with the answer.
func (r *Reader) Try(ctx context.Context, load Load) error {
	_, err := r.read(ctx, load, 0)
	return err
}

// Close closes the connections.
func (r *Reader) Close() { r.client.CloseIdleConnections() }

// Measure reads one after the other until so many were made or so much time was spent with them, but at least a few times.
// The first answer that is wrong ends it.
func (r *Reader) Measure(ctx context.Context, load Load, most int, atMost time.Duration) (Result, error) {
	const least = 10
	r.buffer.Reset()
	begun := time.Now()
	var out Result
	for i := 0; i < warmups && r.buffer.Len() < largeBytes; i++ {
		if _, err := r.read(ctx, load, i); err != nil {
			return Result{}, fmt.Errorf("%s: %w", load.Name, err)
		}
		out.Reads++
	}
	var spent time.Duration
	for i := 0; i < most && (i < least || spent < atMost); i++ {
		took, err := r.read(ctx, load, i)
		if err != nil {
			return Result{}, fmt.Errorf("%s: %w", load.Name, err)
		}
		spent += took
		out.Latencies = append(out.Latencies, took)
		out.Reads++
		out.Bytes = int64(r.buffer.Len())
	}
	out.Wall = time.Since(begun)
	return out, nil
}

// read reads once and checks.
func (r *Reader) read(ctx context.Context, load Load, i int) (time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+load.Path(i), http.NoBody)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+r.token)
	request.Header.Set("Accept", load.Accept)
	if load.Gzip {
		request.Header.Set("Accept-Encoding", "gzip")
	}
	begun := time.Now()
	if err := r.do(request); err != nil {
		return 0, err
	}
	took := time.Since(begun)
	if !load.Gzip {
		if err := load.Check(i, r.buffer.Bytes(), begun); err != nil {
			return 0, fmt.Errorf("%s: wrong answer: %w", request.URL.Path, err)
		}
	}
	if r.buffer.Len() > largeBytes {
		runtime.GC()
	}
	return took, nil
}

// do makes a request and reads the answer into the buffer.
func (r *Reader) do(request *http.Request) error {
	response, err := r.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	r.buffer.Reset()
	if _, err := r.buffer.ReadFrom(response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		body := r.buffer.Bytes()
		return fmt.Errorf("%s: status %d: %s", request.URL.Path, response.StatusCode, strings.TrimSpace(string(body[:min(len(body), maxErrorBytes)])))
	}
	return nil
}
