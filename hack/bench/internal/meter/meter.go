// Package meter stands between the gateway and Prometheus, and counts what passes.
package meter

import (
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// Meter forwards requests and counts them. It is safe for concurrent use.
type Meter struct {
	proxy *httputil.ReverseProxy

	mu       sync.Mutex
	upstream *url.URL
	traffic  Traffic
	inFlight int
	last     time.Time // when the last request ended
	ask      map[string]int
}

// Traffic is what has passed.
type Traffic struct {
	Requests int
	// Failed are those with another status than 200.
	Failed int
	// Bytes are those of the bodies of answers, as they were sent: compressed.
	Bytes int64
	// Questions is how many different requests there were, not counting times.
	Questions int
}

// New returns a meter that forwards to a URL.
func New(upstream string) (*Meter, error) {
	m := &Meter{ask: make(map[string]int)}
	m.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			m.mu.Lock()
			defer m.mu.Unlock()
			r.SetURL(m.upstream)
		},
		ModifyResponse: func(r *http.Response) error {
			m.mu.Lock()
			defer m.mu.Unlock()
			if r.StatusCode != http.StatusOK {
				m.traffic.Failed++
			}
			r.Body = counted{r.Body, m}
			return nil
		},
		// Without compression of its own: it passes on what is asked for and what is answered.
		Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16},
	}
	return m, m.Forward(upstream)
}

// Forward makes later requests go to another URL.
func (m *Meter) Forward(upstream string) error {
	u, err := url.Parse(upstream)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.upstream = u
	return nil
}

// Reset begins to count anew, and returns what was counted.
func (m *Meter) Reset() Traffic {
	m.mu.Lock()
	defer m.mu.Unlock()
	traffic := m.traffic
	traffic.Questions = len(m.ask)
	m.traffic = Traffic{}
	clear(m.ask)
	return traffic
}

// Quiet returns for how long no request has been on its way, zero if one is or none ever was.
func (m *Meter) Quiet() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inFlight > 0 || m.last.IsZero() {
		return 0
	}
	return time.Since(m.last)
}

// Requests returns how many requests were counted since Reset.
func (m *Meter) Requests() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.traffic.Requests
}

// ServeHTTP forwards a request.
func (m *Meter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	m.traffic.Requests++
	m.inFlight++
	m.ask[question(r.URL)]++
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.inFlight--
		m.last = time.Now()
	}()
	m.proxy.ServeHTTP(w, r)
}

// question returns what a request asks, whenever it asks it.
func question(u *url.URL) string {
	query := u.Query()
	for _, name := range []string{"start", "end", "timeout"} {
		query.Del(name)
	}
	return u.Path + "?" + query.Encode()
}

// counted is the body of an answer that is counted as it is read.
type counted struct {
	io.ReadCloser
	meter *Meter
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.meter.mu.Lock()
	c.meter.traffic.Bytes += int64(n)
	c.meter.mu.Unlock()
	return n, err
}
