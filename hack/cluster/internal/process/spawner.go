// Package process starts the programs a cluster is made of and sees to it that none of them outlives it.
package process

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// A Spawner starts processes from one thread that lives as long as the program.
//
// The kernel offers "kill the child when its parent dies" for the parent's thread, not its process, so the thread must never
// exit. The same thread may first enter other namespaces: what it starts is then born in them.
type Spawner struct {
	requests    chan request
	deathSignal syscall.Signal
}

type request struct {
	cmd    *exec.Cmd
	result chan error
}

// NewSpawner returns a Spawner whose processes are killed when this program dies, however it dies. Safe for concurrent use.
func NewSpawner() *Spawner {
	s, _ := newSpawner(func() error { return nil }, syscall.SIGKILL)
	return s
}

// NewSpawnerInside returns a Spawner whose thread has run enter first, to enter the namespaces of a process that every other
// in there dies with. It is killed with this program and they need no death signal, which does not work across PID
// namespaces: package syscall takes a parent that cannot be seen for one that is dead.
func NewSpawnerInside(enter func() error) (*Spawner, error) {
	return newSpawner(enter, 0)
}

func newSpawner(enter func() error, deathSignal syscall.Signal) (*Spawner, error) {
	s := &Spawner{requests: make(chan request), deathSignal: deathSignal}
	entered := make(chan error)
	go func() {
		// Never unlocked: the thread belongs to this goroutine for good.
		runtime.LockOSThread()
		if err := enter(); err != nil {
			entered <- err
			return
		}
		entered <- nil
		for r := range s.requests {
			r.result <- r.cmd.Start()
		}
	}()
	return s, <-entered
}

// Start starts the command in a process group of its own, so that Ctrl-C in a terminal reaches this program alone.
func (s *Spawner) Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = s.deathSignal
	r := request{cmd: cmd, result: make(chan error)}
	s.requests <- r
	return <-r.result
}

// Output runs the command to its end and returns what it wrote. The error of a failed command carries its output.
func (s *Spawner) Output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := s.Start(cmd); err != nil {
		return "", fmt.Errorf("start %q: %w", name, err)
	}
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			err = errors.Join(err, context.Cause(ctx))
		}
		return output.String(), fmt.Errorf("command %q: %w: %s", strings.Join(append([]string{name}, args...), " "), err, strings.TrimSpace(output.String()))
	}
	return output.String(), nil
}
