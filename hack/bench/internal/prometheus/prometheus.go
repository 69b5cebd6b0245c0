// Package prometheus runs a Prometheus that scrapes a fleet.
package prometheus

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/fetch"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/fleet"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/process"
)

const (
	// fillInterval is how often targets are scraped until all series are there, and restInterval how often from then on:
	// seldom enough to leave the machine to what is measured.
	fillInterval = 20 * time.Second
	restInterval = 10 * time.Minute
	newsInterval = time.Second

	startTimeout   = time.Minute
	requestTimeout = 30 * time.Second
	poll           = 250 * time.Millisecond
)

// Server is a Prometheus that runs.
type Server struct {
	*process.Process
	// URL is where its API is.
	URL     string
	config  string
	address string
	targets []fleet.Target
}

// Start starts the program with its files in a folder, and returns when it answers. It scrapes targets at an address,
// HOST:PORT.
func Start(ctx context.Context, program, folder, name, address string, targets []fleet.Target) (*Server, error) {
	dir := filepath.Join(folder, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	s := &Server{
		URL: "http://127.0.0.1:" + strconv.Itoa(port), config: filepath.Join(dir, "prometheus.yaml"),
		address: address, targets: targets,
	}
	if err := s.configure(fillInterval); err != nil {
		return nil, err
	}
	s.Process, err = process.Start(dir, name, program, "--config.file="+s.config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:"+strconv.Itoa(port), "--web.enable-lifecycle", "--log.level=warn")
	if err != nil {
		return nil, err
	}
	err = s.wait(ctx, startTimeout, "ready", func() error {
		_, err := s.ask(ctx, http.MethodGet, "/-/ready")
		return err
	})
	if err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// Fill waits until there are so many series, and then lets targets be scraped seldom. Those with news go on as before.
func (s *Server) Fill(ctx context.Context, series int, timeout time.Duration) error {
	if err := s.Await(ctx, series, timeout); err != nil {
		return err
	}
	if err := s.configure(restInterval); err != nil {
		return err
	}
	_, err := s.ask(ctx, http.MethodPost, "/-/reload")
	return err
}

// Await waits until there are so many series.
func (s *Server) Await(ctx context.Context, series int, timeout time.Duration) error {
	return s.wait(ctx, timeout, fmt.Sprintf("filled with %d series", series), func() error {
		have, err := s.Series(ctx)
		if err == nil && have < series {
			err = fmt.Errorf("it has %d series", have)
		}
		return err
	})
}

// Metrics returns what it tells about itself.
func (s *Server) Metrics(ctx context.Context) ([]byte, error) {
	return s.ask(ctx, http.MethodGet, "/metrics")
}

// Series returns how many series there are in memory.
func (s *Server) Series(ctx context.Context) (int, error) {
	body, err := s.ask(ctx, http.MethodGet, "/api/v1/status/tsdb?limit=1")
	if err != nil {
		return 0, err
	}
	var answer struct {
		Data struct{ HeadStats struct{ NumSeries int } }
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return 0, fmt.Errorf("state of the TSDB: %w", err)
	}
	return answer.Data.HeadStats.NumSeries, nil
}

// Names returns how many names of series there are.
func (s *Server) Names(ctx context.Context) (int, error) {
	body, err := s.ask(ctx, http.MethodGet, "/api/v1/label/__name__/values")
	if err != nil {
		return 0, err
	}
	var answer struct{ Data []string }
	if err := json.Unmarshal(body, &answer); err != nil {
		return 0, fmt.Errorf("names of series: %w", err)
	}
	return len(answer.Data), nil
}

// configure writes the configuration. JSON is YAML too.
func (s *Server) configure(interval time.Duration) error {
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	jobs := make([]map[string]any, 0, 2)
	for name, every := range map[string]time.Duration{"fleet": interval, "news": newsInterval} {
		groups := make([]group, 0, len(s.targets))
		for _, target := range s.targets {
			if target.News == (name == "news") {
				g := group{Targets: []string{s.address}, Labels: map[string]string{"__metrics_path__": target.Path}}
				maps.Copy(g.Labels, target.Labels)
				groups = append(groups, g)
			}
		}
		jobs = append(jobs, map[string]any{
			"job_name": name, "honor_labels": true, "static_configs": groups,
			"scrape_interval": fmt.Sprintf("%ds", int(every.Seconds())),
			"scrape_timeout":  fmt.Sprintf("%ds", int(min(every, fillInterval).Seconds())),
		})
	}
	text, err := json.Marshal(map[string]any{"scrape_configs": jobs})
	if err != nil {
		return err
	}
	return os.WriteFile(s.config, text, 0o600)
}

// wait repeats an attempt until it succeeds, or tells the last error.
func (s *Server) wait(ctx context.Context, timeout time.Duration, what string, attempt func() error) error {
	deadline := time.Now().Add(timeout)
	for {
		err := attempt()
		if err == nil {
			return nil
		}
		if ended := s.Err(); ended != nil {
			return ended
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waiting %s for Prometheus to be %s: %w", timeout, what, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(poll):
		}
	}
}

// ask makes a request and returns the body of a good answer.
func (s *Server) ask(ctx context.Context, method, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, s.URL+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	return fetch.Body(http.DefaultClient, request)
}
