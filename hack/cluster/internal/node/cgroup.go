package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/progress"
)

const cgroupMount = "/sys/fs/cgroup"

// removeTimeout is how long the kernel may take to let go of killed processes.
const removeTimeout = 10 * time.Second

// CgroupRoot is the control group of a cluster's pods. It is the one thing of a node that is not in its box.
func CgroupRoot(id string) string {
	return "/metrics-gateway-" + id
}

// MakeCgroup makes a control group in every hierarchy.
func MakeCgroup(root string) error {
	hierarchies, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range hierarchies {
		// In the unified hierarchy controllers must be handed down; a kernel without one of them says so by an error that
		// does not matter, since the kubelet names what it misses.
		for _, dir := range []string{h, filepath.Join(h, root)} {
			if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("control group: %w", err)
			}
			for _, controller := range []string{"cpu", "cpuset", "memory", "pids", "io", "hugetlb"} {
				_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0)
			}
		}
	}
	return nil
}

// RemoveCgroup removes a control group and all below it. Its processes must have been killed.
func RemoveCgroup(ctx context.Context, root string) error {
	hierarchies, err := hierarchies()
	if err != nil {
		return err
	}
	return progress.Poll(ctx, "control groups removed", 50*time.Millisecond, removeTimeout, func(context.Context) error {
		errs := make([]error, 0, len(hierarchies))
		for _, h := range hierarchies {
			errs = append(errs, removeTree(filepath.Join(h, root)))
		}
		return errors.Join(errs...)
	})
}

// hierarchies are the mounted ones: one with cgroup v2; one for each controller with v1, and maybe v2's without controllers.
func hierarchies() ([]string, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(cgroupMount, &stat); err != nil {
		return nil, fmt.Errorf("control groups: %w", err)
	}
	if stat.Type == unix.CGROUP2_SUPER_MAGIC {
		return []string{cgroupMount}, nil
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, fmt.Errorf("control groups: %w", err)
	}
	var dirs []string
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) > 2 && strings.HasPrefix(fields[2], "cgroup") && strings.HasPrefix(fields[1], cgroupMount+"/") {
			dirs = append(dirs, fields[1])
		}
	}
	if len(dirs) == 0 {
		return nil, fmt.Errorf("control groups: none mounted at %s", cgroupMount)
	}
	return dirs, nil
}

// removeTree removes groups from the leaves up. The files in them are the kernel's and go with the folder.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, entry := range entries {
		if entry.IsDir() {
			errs = append(errs, removeTree(filepath.Join(dir, entry.Name())))
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, fmt.Errorf("control group %s: %w", dir, err))
	}
	return errors.Join(errs...)
}
