package integration

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestNoRequestFailsWhileClientsLearnOfAShutdown(t *testing.T) {
	b := requireBed(t)
	const delay = 2 * time.Second
	g := b.startGateway(t, "--shutdown-delay-duration="+delay.String())
	g.waitServing()

	// Readers go on as long as readiness has not told them to go elsewhere for longer than a proxy needs.
	signalled := time.Now()
	g.terminate()
	waitUntil(t, delay, "readiness fails", func() error {
		status, body, err := g.status(g.root, "/readyz?verbose", nil)
		if err != nil {
			return err
		}
		if status != http.StatusInternalServerError || !strings.Contains(body, "[-]shutdown failed: reason withheld") {
			return fmt.Errorf("status %d: %s", status, body)
		}
		return nil
	})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for time.Since(signalled) < delay-500*time.Millisecond {
				if status, body, err := g.status(g.root, "/apis/metrics.k8s.io/v1/nodes", nil); err != nil || status != http.StatusOK {
					t.Errorf("%v after the signal: status %d, error %v: %s", time.Since(signalled), status, err, body)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	readers.Wait()

	if err := g.wait(15 * time.Second); err != nil {
		t.Errorf("metrics-gateway ended with %v, want exit code 0", err)
	}
	if took := time.Since(signalled); took < delay {
		t.Errorf("metrics-gateway ended %v after the signal, want at least %v", took, delay)
	}
}
