// Package box makes the machine inside the machine that a real node lives in: its own processes, mounts and network.
//
// Everything a node leaves behind, containers, mounts, bridges, iptables rules, network namespaces, belongs to these
// namespaces and is gone with them. The box lives as long as its first process, which the kernel kills when the program that
// made it dies. So the host's network, processes and mounts are never touched, and cleaning up is ending one process.
// Only control groups are shared with the host.
package box

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/process"
)

// A Box is a running set of namespaces.
type Box struct {
	// Spawner starts processes inside.
	*process.Spawner
	// Address is the address of the box, reachable from the host and from inside.
	Address netip.Addr

	init *exec.Cmd
}

// Start makes a box. Its first process is noted in the file records. The link to the host is named after the id.
func Start(ctx context.Context, host *process.Spawner, id, records string) (*Box, error) {
	initProcess, err := startInit(host)
	if err != nil {
		return nil, fmt.Errorf("namespaces: %w", err)
	}
	b := &Box{init: initProcess}
	record, err := process.NewRecord("box", initProcess.Process.Pid)
	if err != nil {
		return nil, errors.Join(err, b.Stop())
	}
	if err := process.Append(records, record); err != nil {
		return nil, errors.Join(err, b.Stop())
	}
	b.Spawner, err = process.NewSpawnerInside(func() error { return enter(initProcess.Process.Pid) })
	if err != nil {
		return nil, errors.Join(err, b.Stop())
	}
	b.Address, err = connect(ctx, host, b.Spawner, initProcess.Process.Pid, id)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("network of the box: %w", err), b.Stop())
	}
	return b, nil
}

// Stop ends every process inside, and with them the namespaces.
func (b *Box) Stop() error {
	if err := b.init.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop box: %w", err)
	}
	// The kernel lets the first process of a PID namespace end only after all others in it. Its status says that it was
	// killed, which is no news.
	_ = b.init.Wait()
	return nil
}

// startInit starts this program again as first process of new namespaces and waits until it has prepared them.
func startInit(host *process.Spawner) (*exec.Cmd, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd := exec.Command("/proc/self/exe", InitCommand)
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET}
	err = host.Start(cmd)
	_ = w.Close()
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(r)
	if err == nil && string(answer) != prepared {
		err = fmt.Errorf("first process: %s", answer)
	}
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, err
	}
	return cmd, nil
}

// enter moves the calling thread, which must be locked, into the namespaces of a process. Its children are born there.
func enter(pid int) error {
	// A thread can only change its mounts when it shares its idea of root and current folder with no other thread.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare filesystem attributes: %w", err)
	}
	// All are opened first: after the change of mounts /proc is the box's, with other PIDs.
	kinds := []string{"net", "pid", "mnt"}
	files := make([]*os.File, 0, len(kinds))
	defer func() {
		for _, file := range files {
			_ = file.Close()
		}
	}()
	for _, kind := range kinds {
		file, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		if err != nil {
			return err
		}
		files = append(files, file)
	}
	for i, file := range files {
		if err := unix.Setns(int(file.Fd()), 0); err != nil {
			return fmt.Errorf("enter %s namespace: %w", kinds[i], err)
		}
	}
	return nil
}
