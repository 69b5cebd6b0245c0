package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// A Group is the set of long-running processes of one cluster. All of them are wanted: the first that ends before Stop fails
// the group. Safe for concurrent use.
type Group struct {
	spawner *Spawner
	logs    string
	records string
	fail    context.CancelCauseFunc

	mu       sync.Mutex
	members  []*member
	stopping bool
}

type member struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
}

// NewGroup returns an empty group. Each process writes to NAME.log in the folder logs and is noted in the file records. fail
// is called with the reason when a process ends by itself.
func NewGroup(spawner *Spawner, logs, records string, fail context.CancelCauseFunc) *Group {
	return &Group{spawner: spawner, logs: logs, records: records, fail: fail}
}

// Start starts a process of the group.
func (g *Group) Start(name, program string, args ...string) error {
	log, err := os.OpenFile(filepath.Join(g.logs, name+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("log of %s: %w", name, err)
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = withoutProxy(os.Environ())

	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopping {
		return fmt.Errorf("start %s: the cluster is stopping", name)
	}
	if err := g.spawner.Start(cmd); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	m := &member{name: name, cmd: cmd, done: make(chan struct{})}
	g.members = append(g.members, m)
	go g.wait(m, log.Name())
	record, err := NewRecord(name, cmd.Process.Pid)
	if err != nil {
		return nil // It has ended already, which wait reports better.
	}
	return Append(g.records, record)
}

func (g *Group) wait(m *member, log string) {
	err := m.cmd.Wait()
	close(m.done)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopping {
		return
	}
	reason := "exit status 0"
	if err != nil {
		reason = err.Error()
	}
	g.fail(fmt.Errorf("%s ended unexpectedly (%s), its last words:\n%s", m.name, reason, tail(log, 5)))
}

// Stop kills the processes and waits for their end. Nothing that they could still write is kept.
func (g *Group) Stop() error {
	g.mu.Lock()
	g.stopping = true
	members := slices.Clone(g.members)
	g.mu.Unlock()

	var errs []error
	for _, m := range slices.Backward(members) {
		if err := m.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			errs = append(errs, fmt.Errorf("stop %s: %w", m.name, err))
			continue
		}
		<-m.done
	}
	return errors.Join(errs...)
}

// tail returns the last lines of a file, for a message.
func tail(path string, lines int) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	return "  " + strings.Join(all[max(0, len(all)-lines):], "\n  ")
}

// withoutProxy leaves out the environment's HTTP proxy: everything that these processes talk to is on this machine.
func withoutProxy(environ []string) []string {
	return slices.DeleteFunc(environ, func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		switch strings.ToUpper(name) {
		case "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY":
			return true
		}
		return false
	})
}
