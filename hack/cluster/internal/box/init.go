package box

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// InitCommand is the argument that makes this program the first process of a box.
const InitCommand = "box-init"

// prepared is the answer of a first process that has prepared its namespaces. Anything else is an error.
const prepared = "ok"

// tunables are the kernel settings that a kubelet wants and would otherwise change for the whole machine. It sees files with
// these values in their place (kubernetes:pkg/kubelet/cm/container_manager_linux.go, setupKernelTunables).
var tunables = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// Init is the life of the first process of a box: it prepares the mounts, says so, and buries orphans until it is killed.
func Init() {
	// Before the answer, so that no child can end unnoticed.
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)

	answer := prepared
	if err := prepareMounts(); err != nil {
		answer = err.Error()
	}
	pipe := os.NewFile(3, "answer")
	if _, err := pipe.WriteString(answer); err != nil || answer != prepared {
		os.Exit(1)
	}
	_ = pipe.Close()

	for range children {
		for {
			pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
			if err != nil || pid <= 0 {
				break
			}
		}
	}
}

func prepareMounts() error {
	// Nothing mounted here may show on the host.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	// Folders in which programs of a node write under fixed names: sockets and locks, links to logs, cached CNI results, the
	// kubelet's socket for device plugins. The last two may not exist yet; then they are left on the host, empty.
	for _, dir := range []string{"/run", "/var/run", "/var/log", "/var/lib/cni", "/var/lib/kubelet"} {
		if err := mountEmpty(dir); err != nil {
			return err
		}
	}
	for name, value := range tunables {
		if err := pretend(filepath.Join("/proc/sys", name), value); err != nil {
			return err
		}
	}
	return nil
}

func mountEmpty(dir string) error {
	if info, err := os.Lstat(dir); err == nil && info.Mode()&os.ModeSymlink != 0 {
		return nil // /var/run is a link to /run nearly everywhere.
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount %s: %w", dir, err)
	}
	return nil
}

// pretend puts a file with a value over a kernel setting, if the kernel has the setting.
func pretend(setting, value string) error {
	if _, err := os.Stat(setting); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	file := filepath.Join("/run", "sysctl", setting)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(value+"\n"), 0o644); err != nil {
		return err
	}
	if err := unix.Mount(file, setting, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount over %s: %w", setting, err)
	}
	return nil
}
