// Package process runs the programs under measurement and reads from the kernel what they use. It needs Linux.
package process

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ticksPerSecond is the unit of CPU time in /proc, on every architecture that Go runs on under Linux.
const ticksPerSecond = 100

// termTime is how long a program may take to end after it was asked to.
const termTime = 15 * time.Second

// Process is a program that runs.
type Process struct {
	name  string
	log   string
	cmd   *exec.Cmd
	ended chan struct{}
	stop  sync.Once
}

// Start starts a program, which runs in the folder and writes to NAME.log there. Stop must be called.
func Start(folder, name, program string, args ...string) (*Process, error) {
	path := filepath.Join(folder, name+".log")
	log, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", name, err)
	}
	defer log.Close()
	if strings.ContainsRune(program, filepath.Separator) {
		// It runs in the folder, its path is seen from here.
		if program, err = filepath.Abs(program); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = folder
	// Nothing is left over by a benchmark that is killed. The signal comes when the thread ends; Go keeps its threads.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Env = append(os.Environ(), "HTTP_PROXY=", "HTTPS_PROXY=", "http_proxy=", "https_proxy=")
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Process{name: name, log: path, cmd: cmd, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // Err tells of an end that was not wanted.
	}()
	return p, nil
}

// Err returns why the program has ended, nil while it runs.
func (p *Process) Err() error {
	select {
	case <-p.ended:
		text, err := os.ReadFile(p.log)
		if err != nil {
			text = []byte(err.Error())
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		return fmt.Errorf("%s ended (%s), its last words:\n%s", p.name, p.cmd.ProcessState, strings.Join(lines[max(0, len(lines)-8):], "\n"))
	default:
		return nil
	}
}

// Stop ends the program. It may be called more than once.
func (p *Process) Stop() {
	p.stop.Do(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // It fails if the program has ended.
		select {
		case <-p.ended:
		case <-time.After(termTime):
			_ = p.cmd.Process.Kill()
			<-p.ended
		}
	})
}

// CPU returns the CPU time that the program has used so far, to 10 ms.
func (p *Process) CPU() (time.Duration, error) {
	text, err := os.ReadFile(p.file("stat"))
	if err != nil {
		return 0, p.gone(err)
	}
	cpu, err := parseCPU(string(text))
	if err != nil {
		return 0, fmt.Errorf("CPU time of %s: %w", p.name, err)
	}
	return cpu, nil
}

// parseCPU returns utime and stime together.
func parseCPU(stat string) (time.Duration, error) {
	// The second field is the name of the program in parentheses, with whatever characters.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	const utime, stime = 14 - 3, 15 - 3
	if len(fields) <= stime {
		return 0, errors.New("/proc/PID/stat is too short")
	}
	var ticks int64
	for _, field := range []int{utime, stime} {
		n, err := strconv.ParseInt(fields[field], 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / ticksPerSecond), nil
}

// Memory is resident memory in bytes.
type Memory struct {
	Now int64
	// Peak is the most since the program was started or ResetPeak was called last.
	Peak int64
	// Anonymous and File are the parts of Now: what the program has made, and what is mapped from files (its code for the
	// most part) and could be read again.
	Anonymous, File int64
}

// Memory returns how much memory of the program is resident.
func (p *Process) Memory() (Memory, error) {
	file, err := os.Open(p.file("status"))
	if err != nil {
		return Memory{}, p.gone(err)
	}
	defer file.Close()
	var m Memory
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		m.read(lines.Text())
	}
	if err := lines.Err(); err != nil {
		return Memory{}, p.gone(err)
	}
	if m.Now == 0 {
		return Memory{}, p.gone(errors.New("no VmRSS"))
	}
	return m, nil
}

// read reads a line of /proc/PID/status.
func (m *Memory) read(line string) {
	var name string
	var kib int64
	if n, _ := fmt.Sscanf(line, "%s %d kB", &name, &kib); n < 2 {
		return
	}
	switch bytes := kib << 10; name {
	case "VmHWM:":
		m.Peak = bytes
	case "VmRSS:":
		m.Now = bytes
	case "RssAnon:":
		m.Anonymous = bytes
	case "RssFile:", "RssShmem:":
		m.File += bytes
	}
}

// ResetPeak makes the peak what is resident now.
func (p *Process) ResetPeak() error {
	if err := os.WriteFile(p.file("clear_refs"), []byte("5"), 0); err != nil {
		return p.gone(err)
	}
	return nil
}

func (p *Process) file(name string) string {
	return fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, name)
}

// gone prefers the reason why the program has ended to that why it cannot be measured.
func (p *Process) gone(err error) error {
	if ended := p.Err(); ended != nil {
		return ended
	}
	return fmt.Errorf("measuring %s: %w", p.name, err)
}
