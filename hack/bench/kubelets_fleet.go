package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/fetch"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/kubelets"
	"github.com/metrics-gateway/metrics-gateway/hack/bench/internal/process"
)

// fleetCommand plays kubelets, in a process of its own.
const fleetCommand = "play-kubelets"

const (
	fleetTimeout = time.Minute
	// controlTimeout bounds one question about what was done.
	controlTimeout = 10 * time.Second
	fleetPoll      = 50 * time.Millisecond
)

// fleetProcess is the process that plays the kubelets.
type fleetProcess struct {
	*process.Process
	caFile  string
	control string // The URL that tells what was done.
}

// startFleet starts the kubelets of a cluster, chooses their port, and returns when all of them listen. They answer who has the
// token that is in a file. Stop must be called.
func startFleet(ctx context.Context, folder string, cluster *kubelets.Cluster, tokenFile string) (*fleetProcess, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if cluster.Port, err = unusedPort(ctx); err != nil {
		return nil, err
	}
	control, err := unusedPort(ctx)
	if err != nil {
		return nil, err
	}
	f := &fleetProcess{caFile: filepath.Join(folder, "kubelet-ca.crt"), control: fmt.Sprintf("http://127.0.0.1:%d/", control)}
	f.Process, err = process.Start(folder, "kubelets", program, fleetCommand, "--nodes="+strconv.Itoa(cluster.Nodes), "--pods="+strconv.Itoa(cluster.PodsPerNode),
		"--port="+strconv.Itoa(cluster.Port), "--started="+strconv.FormatInt(cluster.Started.Unix(), 10), "--token-file="+tokenFile,
		"--ca-file="+f.caFile, "--control-port="+strconv.Itoa(control))
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(fleetTimeout); ; {
		_, err := f.traffic(ctx)
		if err == nil {
			return f, nil
		}
		if ended := f.Err(); ended != nil {
			return nil, ended
		}
		if time.Now().After(deadline) {
			f.Stop()
			return nil, fmt.Errorf("the kubelets do not listen after %s: %w", fleetTimeout, err)
		}
		if err := sleep(ctx, fleetPoll); err != nil {
			f.Stop()
			return nil, err
		}
	}
}

// unusedPort returns a port that nobody listens on now.
func unusedPort(ctx context.Context) (int, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// traffic returns what the kubelets have done so far.
func (f *fleetProcess) traffic(ctx context.Context) (kubelets.Traffic, error) {
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.control, http.NoBody)
	if err != nil {
		return kubelets.Traffic{}, err
	}
	body, err := fetch.Body(http.DefaultClient, request)
	if err != nil {
		return kubelets.Traffic{}, err
	}
	var traffic kubelets.Traffic
	return traffic, json.Unmarshal(body, &traffic)
}

// playKubelets is the process that plays the kubelets.
func playKubelets(ctx context.Context, args []string) error {
	var c kubelets.Cluster
	var tokenFile, caFile string
	var started int64
	var control int
	flags := flag.NewFlagSet(fleetCommand, flag.ContinueOnError)
	flags.IntVar(&c.Nodes, "nodes", 0, "how many kubelets")
	flags.IntVar(&c.PodsPerNode, "pods", 0, "how many pods each")
	flags.IntVar(&c.Port, "port", 0, "the port of all kubelets")
	flags.Int64Var(&started, "started", 0, "when everything was started, in seconds since 1970")
	flags.StringVar(&tokenFile, "token-file", "", "`file` with the token of who may read")
	flags.StringVar(&caFile, "ca-file", "", "`file` to write the authority of certificates to")
	flags.IntVar(&control, "control-port", 0, "port that tells what was done, when all listen")
	if err := flags.Parse(args); err != nil {
		return err
	}
	c.Started = time.Unix(started, 0)
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return err
	}
	authority, err := kubelets.NewAuthority()
	if err != nil {
		return err
	}
	if err := os.WriteFile(caFile, authority.PEM(), 0o600); err != nil {
		return err
	}
	fleet, err := kubelets.NewFleet(c, authority, string(token), time.Now)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(control)))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(fleet.ServeTraffic), ReadHeaderTimeout: time.Minute}
	defer server.Close()
	err = fleet.Serve(ctx, func() { go func() { _ = server.Serve(listener) }() })
	return errors.Join(err, context.Cause(ctx))
}
