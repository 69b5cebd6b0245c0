package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/progress"
)

// Programs are the parts of a node that are not built here but come with the operating system.
type Programs struct {
	Containerd, Ctr string
	// CNIBin is the folder of the CNI plugins.
	CNIBin string
}

// packages are the Debian packages of the programs a node needs.
var packages = map[string]string{
	"containerd": "containerd",
	"ctr":        "containerd",
	"runc":       "runc",
	"iptables":   "iptables",
	"conntrack":  "conntrack",
	"ip":         "iproute2",
	"mount":      "mount",
}

const cniPackage = "containernetworking-plugins"

// cniFolders are where distributions put CNI plugins.
var cniFolders = []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}

// FindPrograms finds the programs, and installs the Debian packages of those that are missing after saying so.
func FindPrograms(ctx context.Context, out *progress.Printer) (Programs, error) {
	programs, missing := findPrograms()
	if len(missing) == 0 {
		return programs, nil
	}
	list := strings.Join(missing, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return Programs{}, fmt.Errorf("programs of Debian's packages %s are missing and there is no apt-get to install them: install them", list)
	}
	err := out.Step(ctx, "installing Debian packages: "+list, func(ctx context.Context) error {
		// The lists may be old or not there at all; the install tells whether they matter.
		_ = aptGet(ctx, "update", "--quiet=2")
		return aptGet(ctx, append([]string{"install", "--quiet=2", "--yes", "--no-install-recommends"}, missing...)...)
	})
	if err != nil {
		return Programs{}, err
	}
	programs, missing = findPrograms()
	if len(missing) > 0 {
		return Programs{}, fmt.Errorf("programs of %s are still missing after their installation", strings.Join(missing, " "))
	}
	return programs, nil
}

// findPrograms returns the programs and the packages of those that are missing.
func findPrograms() (programs Programs, missing []string) {
	wanted := map[string]bool{}
	for program, pkg := range packages {
		if _, err := exec.LookPath(program); err != nil {
			wanted[pkg] = true
		}
	}
	programs.Containerd, _ = exec.LookPath("containerd")
	programs.Ctr, _ = exec.LookPath("ctr")
	for _, dir := range cniFolders {
		if _, err := os.Stat(filepath.Join(dir, "ptp")); err == nil {
			programs.CNIBin = dir
			break
		}
	}
	if programs.CNIBin == "" {
		wanted[cniPackage] = true
	}
	for pkg := range wanted {
		missing = append(missing, pkg)
	}
	return programs, missing
}

func aptGet(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	output, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("apt-get %s: %w", args[0], err), errors.New(strings.TrimSpace(string(output))))
	}
	return nil
}
