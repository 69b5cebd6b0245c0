// Package toolchain builds the programs of the cluster from their Go modules and keeps them by version.
//
// Each tool module is a go.mod whose tool directives say what is built from it. They are kept apart because the requirements
// of etcd, Kubernetes and kwok clash in one.
package toolchain

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/progress"
)

// A module is one tool module.
type module struct {
	dir string
	// path and version are those of the module that the tools come from.
	path, version string
	tools         []string
	// sum covers go.mod, so that a changed dependency counts as another version.
	sum [sha256.Size]byte
}

// Build builds the tools of the modules with these names below dir unless that was done before, and returns the folder that
// holds them all. Builds of the same versions, also by other processes, wait for each other.
func Build(ctx context.Context, dir string, names []string, cache string, out *progress.Printer) (string, error) {
	modules := make([]module, 0, len(names))
	for _, name := range names {
		m, err := readModule(ctx, filepath.Join(dir, name))
		if err != nil {
			return "", fmt.Errorf("tool module %q: %w", name, err)
		}
		modules = append(modules, m)
	}
	goVersion, err := goOutput(ctx, dir, "env", "GOVERSION")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(cache, "tools", key(modules, strings.TrimSpace(string(goVersion))))
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", fmt.Errorf("tools folder: %w", err)
	}
	if complete(bin, modules) {
		return bin, nil
	}

	unlock, err := lock(ctx, bin+".lock", out)
	if err != nil {
		return "", err
	}
	defer unlock()
	for _, m := range modules {
		if complete(bin, []module{m}) {
			continue
		}
		what := fmt.Sprintf("building %s %s (once for each version, may take some minutes)", m.path, m.version)
		if err := out.Step(ctx, what, func(ctx context.Context) error { return m.build(ctx, bin) }); err != nil {
			return "", err
		}
	}
	return bin, nil
}

// Programs builds main packages of the main module in root, as the images have them, and returns the folder of the programs. The
// folder is kept, one for each checkout, so that what has not changed is not linked again.
func Programs(ctx context.Context, root, cache string, out *progress.Printer, packages ...string) (string, error) {
	checkout := sha256.Sum256([]byte(root))
	bin := filepath.Join(cache, "programs", hex.EncodeToString(checkout[:8]))
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", fmt.Errorf("programs folder: %w", err)
	}
	unlock, err := lock(ctx, bin+".lock", out)
	if err != nil {
		return "", err
	}
	defer unlock()
	args := append([]string{"build", "-trimpath", "-ldflags=-s -w", "-o", bin + string(filepath.Separator)}, packages...)
	_, err = goOutput(ctx, root, args...)
	return bin, err
}

// Root returns the folder of the main module that the current folder belongs to.
func Root(ctx context.Context) (string, error) {
	gomod, err := goOutput(ctx, ".", "env", "GOMOD")
	if err != nil {
		return "", err
	}
	file := strings.TrimSpace(string(gomod))
	if file == "" || file == os.DevNull {
		return "", errors.New("the current folder is not inside the repository: run this from a checkout")
	}
	return filepath.Dir(file), nil
}

func readModule(ctx context.Context, dir string) (module, error) {
	text, err := goOutput(ctx, dir, "mod", "edit", "-json")
	if err != nil {
		return module{}, err
	}
	m, err := parseModule(text)
	if err != nil {
		return module{}, err
	}
	m.dir = dir
	m.sum = sha256.Sum256(text)
	return m, nil
}

// parseModule reads what "go mod edit -json" prints.
func parseModule(text []byte) (module, error) {
	var mod struct {
		Require []struct{ Path, Version string }
		Tool    []struct{ Path string }
	}
	if err := json.Unmarshal(text, &mod); err != nil {
		return module{}, err
	}
	var m module
	for _, tool := range mod.Tool {
		m.tools = append(m.tools, tool.Path)
	}
	if len(m.tools) == 0 {
		return module{}, errors.New("no tool directive")
	}
	for _, required := range mod.Require {
		contains := m.tools[0] == required.Path || strings.HasPrefix(m.tools[0], required.Path+"/")
		if contains && len(required.Path) > len(m.path) {
			m.path, m.version = required.Path, required.Version
		}
	}
	if m.path == "" {
		return module{}, fmt.Errorf("tool %s: no required module holds it", m.tools[0])
	}
	return m, nil
}

// buildTags leave out what no cluster of ours needs, by the module's path: Prometheus' discovery of every cloud there is takes longer
// to build than the rest of it.
var buildTags = map[string]string{
	"github.com/prometheus/prometheus": "remove_all_sd,enable_kubernetes_sd",
}

// key names the folder of one set of versions: readable first, exact by the hash at its end.
func key(modules []module, goVersion string) string {
	hash := sha256.New()
	parts := make([]string, 0, len(modules)+2)
	for _, m := range modules {
		hash.Write(m.sum[:])
		hash.Write([]byte(buildTags[m.path]))
		parts = append(parts, filepath.Base(m.dir)+"-"+m.version)
	}
	parts = append(parts, goVersion, runtime.GOOS+"-"+runtime.GOARCH)
	hash.Write([]byte(goVersion))
	return strings.Join(parts, "_") + "_" + hex.EncodeToString(hash.Sum(nil)[:4])
}

func complete(bin string, modules []module) bool {
	for _, m := range modules {
		for _, tool := range m.tools {
			if _, err := os.Stat(filepath.Join(bin, programName(tool))); err != nil {
				return false
			}
		}
	}
	return true
}

// build builds beside the folder and moves what is finished into it, so that a program is there whole or not at all.
func (m module) build(ctx context.Context, bin string) error {
	unfinished := bin + ".tmp"
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("tools folder: %w", err)
	}
	defer os.RemoveAll(unfinished)
	for _, tool := range m.tools {
		program := filepath.Join(unfinished, programName(tool))
		if _, err := goOutput(ctx, m.dir, "build", "-tags", buildTags[m.path], "-ldflags", m.ldflags(), "-o", program, tool); err != nil {
			return err
		}
		if err := os.Rename(program, filepath.Join(bin, programName(tool))); err != nil {
			return fmt.Errorf("tools folder: %w", err)
		}
	}
	return nil
}

// ldflags leave out debugging tables, which halves the size, and give Kubernetes' programs the version that nodes report.
func (m module) ldflags() string {
	flags := []string{"-s", "-w"}
	if m.path == "k8s.io/kubernetes" {
		for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
			flags = append(flags, "-X", pkg+".gitVersion="+m.version)
		}
	}
	return strings.Join(flags, " ")
}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// programName is the name "go build" gives: the last element of the import path that is not a major version.
func programName(tool string) string {
	name := path.Base(tool)
	if majorVersion.MatchString(name) {
		name = path.Base(path.Dir(tool))
	}
	if name == "server" {
		return "etcd" // etcd's main package is the root of its server module.
	}
	return name
}

// lock takes an exclusive lock that the kernel drops when this process ends, however it ends.
func lock(ctx context.Context, path string, out *progress.Printer) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		taken := make(chan error, 1)
		err = out.Step(ctx, "waiting for another build of the same", func(ctx context.Context) error {
			go func() { taken <- unix.Flock(int(file.Fd()), unix.LOCK_EX) }()
			select {
			case err := <-taken:
				return err
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// goOutput runs the go command in dir and returns its standard output. What it wrote to standard error becomes part of the error.
func goOutput(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	// An interrupted build ends its compilers, a killed one leaves them.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	// Static binaries: they run in images that hold nothing else. A workspace file around the checkout must not take part.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout, nil
}
