// Package state keeps the folder of a cluster: everything one run writes, and the lock that says the run still lives.
package state

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A Dir is the folder of one cluster, owned by this process until Release or Remove.
type Dir struct {
	// ID is short, unique and fit for names of network interfaces and control groups.
	ID   string
	Path string

	lock *os.File
}

// Root returns the folder that holds the folders of all clusters of this user.
func Root() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "metrics-gateway", "clusters"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("state folder: %w (set HOME or XDG_STATE_HOME)", err)
	}
	return filepath.Join(home, ".local", "state", "metrics-gateway", "clusters"), nil
}

// Create makes the folder of a new cluster.
func Create(root string) (*Dir, error) {
	unlock, err := lockRoot(root)
	if err != nil {
		return nil, err
	}
	defer unlock()

	var id [4]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, fmt.Errorf("cluster id: %w", err)
	}
	d := &Dir{ID: hex.EncodeToString(id[:])}
	d.Path = filepath.Join(root, d.ID)
	if err := errors.Join(os.Mkdir(d.Path, 0o700), os.Mkdir(d.Logs(), 0o700)); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	d.lock, err = tryLock(filepath.Join(d.Path, "lock"))
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Join returns a path inside the folder.
func (d *Dir) Join(elem ...string) string {
	return filepath.Join(append([]string{d.Path}, elem...)...)
}

// Logs is the folder of the processes' logs.
func (d *Dir) Logs() string { return d.Join("logs") }

// Records is the file of the started processes.
func (d *Dir) Records() string { return d.Join("processes") }

// Remove removes the folder.
func (d *Dir) Remove() error {
	return errors.Join(os.RemoveAll(d.Path), d.lock.Close())
}

// SaveLogs copies the logs to the system's folder for temporary files, where they outlive the cluster, and returns the copy.
func (d *Dir) SaveLogs() (string, error) {
	saved := filepath.Join(os.TempDir(), "metrics-gateway-"+d.ID+"-logs")
	if err := os.CopyFS(saved, os.DirFS(d.Logs())); err != nil {
		return "", fmt.Errorf("save logs: %w", err)
	}
	return saved, nil
}

// Leftovers returns the folders of clusters whose program has gone, locked for the caller, and the paths of those whose
// program still runs.
func Leftovers(root string) (leftovers []*Dir, running []string, err error) {
	unlock, err := lockRoot(root)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, nil, fmt.Errorf("state folder: %w", err)
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		d := &Dir{ID: entry.Name(), Path: filepath.Join(root, entry.Name())}
		d.lock, err = tryLock(d.Join("lock"))
		switch {
		case errors.Is(err, unix.EWOULDBLOCK):
			running = append(running, d.Path)
		case err != nil:
			return leftovers, running, err
		default:
			leftovers = append(leftovers, d)
		}
	}
	return leftovers, running, nil
}

// lockRoot keeps a folder that is just being made from being taken for a leftover.
func lockRoot(root string) (unlock func(), err error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(root, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock of the state folder: %w", err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// tryLock takes a lock that the kernel drops when this process ends, however it ends.
func tryLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return file, nil
}
