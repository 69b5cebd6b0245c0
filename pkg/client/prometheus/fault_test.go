package prometheus

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A gateway must live through whatever a backend, or what stands in its place, does.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		class   Class
		code    int
		want    string
	}{
		"200 with HTML": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				_, _ = w.Write([]byte("<html>Sign in</html>"))
			},
			class: ClassNotJSON, code: 200,
			want: `backend "main" answered with something else than the JSON of the Prometheus API: check that its URL leads there and not to a login page or a proxy's error`,
		},
		"truncated JSON": {
			handler: answer(vector("")[:40]),
			class:   ClassTruncated, code: 200,
			want: `backend "main" ended its answer early`,
		},
		"connection closed within the answer": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "1000000")
				_, _ = w.Write([]byte(`{"status":"succ`))
			},
			class: ClassTruncated, code: 200,
			want: `backend "main" ended its answer early`,
		},
		"connection reset within the answer": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(`{"status":"succ`))
				_ = http.NewResponseController(w).Flush()
				reset(w)
			},
			class: ClassTruncated, code: 200,
			want: `backend "main" ended its answer early`,
		},
		"connection reset before the answer": {
			handler: func(w http.ResponseWriter, _ *http.Request) { reset(w) },
			class:   ClassUnreachable,
			want:    `backend "main" cannot be reached: connection reset by peer`,
		},
		"connection closed before the answer": {
			handler: func(w http.ResponseWriter, _ *http.Request) { hangUp(w) },
			class:   ClassUnreachable,
			want:    `backend "main" cannot be reached: it closed the connection without an answer`,
		},
		"gzip that is none": {
			handler: gzipped([]byte("this is not gzip")),
			class:   ClassNotJSON, code: 200,
			want: `backend "main" answered with a corrupt gzip stream`,
		},
		"gzip that is damaged": {
			handler: gzipped(damaged(compressed(t, vector("")))),
			class:   ClassNotJSON, code: 200,
			want: `backend "main" answered with a corrupt gzip stream`,
		},
		"gzip that is truncated": {
			handler: gzipped(compressed(t, vector(""))[:30]),
			class:   ClassTruncated, code: 200,
			want: `backend "main" ended its answer early`,
		},
		"no content": {
			handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
			class:   ClassNotJSON, code: 204,
			want: `backend "main" answered with nothing`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newTestClient(t, tc.handler).Query(t.Context(), "up", evaluation)
			failed := failureOf(t, err)
			if failed.Class != tc.class || failed.Code != tc.code || err.Error() != tc.want {
				t.Errorf("error = %s %d: %v\nwant %s %d: %s", failed.Class, failed.Code, err, tc.class, tc.code, tc.want)
			}
		})
	}
}

// reset makes the connection end with a TCP reset.
func reset(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
}

// hangUp makes the connection end as when the server is stopped.
func hangUp(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

func gzipped(content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(content)
	}
}

// damaged returns the compressed content with a wrong checksum.
func damaged(content []byte) []byte {
	content[len(content)-8]++
	return content
}

func compressed(t *testing.T, document string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, document); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGzip(t *testing.T) {
	t.Parallel()
	c := newTestClient(t, gzipped(compressed(t, vector(`{"metric":{},"value":[1,"2"]}`))))
	result, err := c.Query(t.Context(), "up", evaluation)
	if err != nil || len(result.Samples) != 1 || result.Samples[0].Value != 2 {
		t.Errorf("Query = %v, %v", result, err)
	}
}

// P4: what an answer costs in memory is bounded by its result, and that by the limits. Not parallel: it measures.
func TestLargeAnswersAreBounded(t *testing.T) {
	bomb := compressed(t, strings.Repeat(" ", 1<<20))
	for name, tc := range map[string]struct {
		handler   http.HandlerFunc
		class     Class
		want      string
		allocates uint64
	}{
		"1 GiB body": {
			handler: func(w http.ResponseWriter, _ *http.Request) { spaces(w, 1<<30) },
			class:   ClassTooLarge, want: "more than 128 MiB", allocates: 8 << 20,
		},
		"gzip bomb": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				repeat(w, bomb, 1<<30)
			},
			class: ClassTooLarge, want: "more than 128 MiB", allocates: 8 << 20,
		},
		"1 GiB string": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"status":"`)
				repeat(w, []byte(strings.Repeat("a", 1<<20)), 1<<30)
			},
			class: ClassTooLarge, want: "of more than 1 MiB", allocates: 16 << 20,
		},
		"10⁶ samples": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"2"]}`)
				repeat(w, bytes.Repeat([]byte(`,{"metric":{"pod":"web-0"},"value":[1,"2"]}`), 1000), 1_000_000*43)
			},
			class: ClassTooLarge, want: "more than 500000 samples", allocates: 256 << 20,
		},
		"1 GiB error": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusInternalServerError)
				spaces(w, 1<<30)
			},
			class: ClassUnavailable, want: "failed (HTTP 500)", allocates: 8 << 20,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestClient(t, tc.handler)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := c.Query(t.Context(), "up", evaluation)
			runtime.ReadMemStats(&after)
			if failed := failureOf(t, err); failed.Class != tc.class || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %s: %v, want %s: %s", failed.Class, err, tc.class, tc.want)
			}
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > tc.allocates {
				t.Errorf("allocated %d MiB, want at most %d", allocated>>20, tc.allocates>>20)
			}
		})
	}
}

// spaces writes so many bytes of white space, unless the other side goes away.
func spaces(w io.Writer, n int) { repeat(w, bytes.Repeat([]byte(" "), 1<<20), n) }

func repeat(w io.Writer, chunk []byte, n int) {
	for written := 0; written < n; written += len(chunk) {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// pipes is a network without delay, on which time is that of synctest.
type pipes chan net.Conn

func (p pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p pipes) Close() error { close(p); return nil }

func (pipes) Addr() net.Addr { return &net.UnixAddr{} }

// P2.
func TestSlowBackends(t *testing.T) {
	t.Parallel()
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	drip := func(first string, code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, first)
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, " ")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
				}
			}
		}
	}
	for name, tc := range map[string]struct {
		handler http.HandlerFunc // Nil: packets to the backend are dropped.
		class   Class
		want    string
		after   time.Duration
	}{
		"black-holed connect":       {nil, ClassUnreachable, `backend "main" cannot be reached: the connection cannot be made in time`, dialTimeout},
		"no answer":                 {hang, ClassTimeout, `backend "main" did not answer within 20s`, 20 * time.Second},
		"slow body":                 {drip(`{"status":"success","data":`, 200), ClassTimeout, `backend "main" did not answer within 20s`, 20 * time.Second},
		"slow body after the end":   {drip(vector(""), 200), ClassTimeout, `backend "main" did not answer within 20s`, 20 * time.Second},
		"slow document of an error": {drip(`{"status":"error"`, 503), ClassUnavailable, `backend "main" failed (HTTP 503)`, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newPipeClient(t, tc.handler)
				start := time.Now()
				_, err := c.Query(t.Context(), "up", evaluation)
				if failed := failureOf(t, err); failed.Class != tc.class || err.Error() != tc.want {
					t.Errorf("error = %s: %v, want %s: %s", failed.Class, err, tc.class, tc.want)
				}
				if took := time.Since(start); took != tc.after {
					t.Errorf("took %s, want %s", took, tc.after)
				}
			})
		})
	}
}

// newPipeClient returns a client with a timeout of 20 seconds, in the bubble of synctest.
func newPipeClient(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	network := make(pipes)
	server := &http.Server{Handler: handler, ErrorLog: nil}
	if handler != nil {
		go func() { _ = server.Serve(network) }()
	}
	c, err := newClient(Config{Name: backendName, URL: "http://backend", Timeout: 20 * time.Second}, network.dial)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.api.(interface{ CloseIdleConnections() }).CloseIdleConnections()
		_ = server.Close()
	})
	return c
}

func TestCancelledCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := newPipeClient(t, func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		})
		_, err := c.Query(ctx, "up", evaluation)
		if failed := failureOf(t, err); failed.Class != ClassCanceled || !errors.Is(err, context.Canceled) {
			t.Errorf("error = %s: %v, want %s", failed.Class, err, ClassCanceled)
		}
	})
}

func TestCallWithoutTimeLeft(t *testing.T) {
	t.Parallel()
	c := newTestClient(t, func(http.ResponseWriter, *http.Request) { t.Error("the backend was asked") })
	ctx, cancel := context.WithTimeout(t.Context(), time.Microsecond)
	defer cancel()
	_, err := c.Query(ctx, "up", evaluation)
	if failed := failureOf(t, err); failed.Class != ClassTimeout || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %s: %v, want %s", failed.Class, err, ClassTimeout)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("http://%s", listener.Addr())
	_ = listener.Close()
	_, err = newClientOf(t, url).Query(t.Context(), "up", evaluation)
	if failed := failureOf(t, err); failed.Class != ClassUnreachable || err.Error() != `backend "main" cannot be reached: connection refused` {
		t.Errorf("error = %s: %v", failed.Class, err)
	}
}
