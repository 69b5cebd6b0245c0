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
	// roundReads and roundBytes bound the answers of a round. The reads of a round follow each other at once, as those of a
	// busy client do; what is checked between them would have the server find nothing of its own in the processor's caches.
	roundReads = 64
	roundBytes = 64 << 20
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
	answers    [roundReads]answer
}

// answer is what came back for a read.
type answer struct {
	path string
	sent time.Time
	took time.Duration
	body bytes.Buffer
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
	return r.round(ctx, load, 0, 1, func(*answer) {})
}

// Close closes the connections.
func (r *Reader) Close() { r.client.CloseIdleConnections() }

// Measure reads one after the other until so many were made or so much time was spent with them, but at least a few times.
// The first answer that is wrong ends it. A first round does not count: connections, caches of authorization and buffers are
// there after it.
func (r *Reader) Measure(ctx context.Context, load Load, most int, atMost time.Duration) (Result, error) {
	const least = 10
	begun := time.Now()
	var out Result
	count := func(a *answer) {
		out.Reads++
		out.Bytes = int64(a.body.Len())
	}
	if err := r.round(ctx, load, 0, min(most, roundReads), count); err != nil {
		return Result{}, err
	}
	var spent time.Duration
	for len(out.Latencies) < most && (len(out.Latencies) < least || spent < atMost) {
		first := len(out.Latencies)
		err := r.round(ctx, load, first, min(most-first, roundReads), func(a *answer) {
			count(a)
			out.Latencies = append(out.Latencies, a.took)
			spent += a.took
		})
		if err != nil {
			return Result{}, err
		}
	}
	out.Wall = time.Since(begun)
	return out, nil
}

// round reads up to so many times at once, and then checks all answers.
func (r *Reader) round(ctx context.Context, load Load, first, most int, done func(*answer)) error {
	n, size := 0, 0
	for ; n < most && size < roundBytes; n++ {
		if err := r.read(ctx, load, first+n, &r.answers[n]); err != nil {
			return fmt.Errorf("%s: %w", load.Name, err)
		}
		size += r.answers[n].body.Len()
	}
	for i := range r.answers[:n] {
		a := &r.answers[i]
		done(a)
		if load.Gzip {
			continue
		}
		if err := load.Check(first+i, a.body.Bytes(), a.sent); err != nil {
			return fmt.Errorf("%s: %s: wrong answer: %w", load.Name, a.path, err)
		}
	}
	runtime.GC() // The checks leave garbage behind that the next reads would be slowed down by.
	return nil
}

// read reads once.
func (r *Reader) read(ctx context.Context, load Load, i int, to *answer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+load.Path(i), http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+r.token)
	request.Header.Set("Accept", load.Accept)
	if load.Gzip {
		request.Header.Set("Accept-Encoding", "gzip")
	}
	to.path, to.sent = request.URL.Path, time.Now()
	err = r.do(request, &to.body)
	to.took = time.Since(to.sent)
	return err
}

// do makes a request and reads the answer into a buffer.
func (r *Reader) do(request *http.Request, buffer *bytes.Buffer) error {
	response, err := r.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	buffer.Reset()
	if _, err := buffer.ReadFrom(response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		body := buffer.Bytes()
		return fmt.Errorf("%s: status %d: %s", request.URL.Path, response.StatusCode, strings.TrimSpace(string(body[:min(len(body), maxErrorBytes)])))
	}
	return nil
}
