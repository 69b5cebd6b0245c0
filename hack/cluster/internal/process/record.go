package process

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// A Record names one process for good. A PID alone does not: the kernel hands it out again.
type Record struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	// StartTicks is when the process started, in clock ticks since boot.
	StartTicks uint64 `json:"startTicks"`
	// BootID tells this boot's ticks from those of an earlier one.
	BootID string `json:"bootID"`
}

// NewRecord describes a running process.
func NewRecord(name string, pid int) (Record, error) {
	ticks, err := startTicks(pid)
	if err != nil {
		return Record{}, err
	}
	bootID, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Record{}, fmt.Errorf("boot id: %w", err)
	}
	return Record{Name: name, PID: pid, StartTicks: ticks, BootID: strings.TrimSpace(string(bootID))}, nil
}

// Alive reports whether exactly this process still runs.
func (r Record) Alive() bool {
	now, err := NewRecord(r.Name, r.PID)
	return err == nil && now == r
}

// Kill ends the process if it is still the one recorded.
func (r Record) Kill() error {
	// The pidfd is taken before the check, so that it cannot come to mean another process between the check and the kill.
	process, err := os.FindProcess(r.PID)
	if err != nil {
		return fmt.Errorf("find %s (pid %d): %w", r.Name, r.PID, err)
	}
	if !r.Alive() {
		return process.Release()
	}
	if err := process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s (pid %d): %w", r.Name, r.PID, err)
	}
	return nil
}

// Append adds the record to a file of records, one JSON object a line.
func Append(path string, r Record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("record of %s: %w", r.Name, err)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("process records: %w", err)
	}
	if _, err := file.Write(append(line, '\n')); err != nil {
		return errors.Join(err, file.Close())
	}
	return file.Close()
}

// ReadRecords returns the records of a file; none if there is no file. A line cut short by a kill is left out.
func ReadRecords(path string) ([]Record, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("process records: %w", err)
	}
	defer file.Close()
	var records []Record
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var r Record
		if json.Unmarshal(lines.Bytes(), &r) == nil {
			records = append(records, r)
		}
	}
	return records, lines.Err()
}

// startTicks reads field 22 of /proc/PID/stat, see proc_pid_stat(5).
func startTicks(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	return parseStartTicks(string(stat))
}

func parseStartTicks(stat string) (uint64, error) {
	// The second field is the program's name in parentheses and may itself hold spaces and parentheses.
	_, rest, _ := cutLast(stat, ")")
	fields := strings.Fields(rest)
	const startTime = 22 - 3 // the first field after the name is the third
	if len(fields) <= startTime {
		return 0, fmt.Errorf("process status %q: too few fields", stat)
	}
	if fields[0] == "Z" {
		return 0, fmt.Errorf("process status: %w", syscall.ESRCH)
	}
	return strconv.ParseUint(fields[startTime], 10, 64)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
