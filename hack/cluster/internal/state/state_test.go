package state

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestLeftoversAreThoseWhoseProgramHasGone(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	running, err := Create(root)
	if err != nil {
		t.Fatal(err)
	}
	killed, err := Create(root)
	if err != nil {
		t.Fatal(err)
	}
	// What the kernel does when a program ends.
	if err := killed.lock.Close(); err != nil {
		t.Fatal(err)
	}

	leftovers, stillRunning, err := Leftovers(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(stillRunning) != 1 || stillRunning[0] != running.Path {
		t.Errorf("running = %v, want %s alone", stillRunning, running.Path)
	}
	if len(leftovers) != 1 || leftovers[0].ID != killed.ID {
		t.Fatalf("leftovers = %v, want %s alone", leftovers, killed.ID)
	}
	// Two that clean up at the same time must not both clean up this one.
	if again, _, err := Leftovers(root); err != nil || len(again) != 0 {
		t.Errorf("leftovers while one is being removed = %v, %v, want none", again, err)
	}
	if err := leftovers[0].Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(killed.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("folder of the leftover: %v, want it gone", err)
	}
	if _, err := os.Stat(running.Logs()); err != nil {
		t.Errorf("folder of the running one: %v", err)
	}
}

func TestSavedLogsOutliveTheFolder(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	d, err := Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.Logs(), "etcd.log"), []byte("words"), 0o600); err != nil {
		t.Fatal(err)
	}
	saved, err := d.SaveLogs()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(saved, "etcd.log")); err != nil || string(got) != "words" {
		t.Errorf("saved log = %q, %v", got, err)
	}
}

func TestRootFollowsXDG(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	for value, want := range map[string]string{
		"":         "/home/me/.local/state/metrics-gateway/clusters",
		"/state":   "/state/metrics-gateway/clusters",
		"relative": "/home/me/.local/state/metrics-gateway/clusters", // To be ignored, says the specification.
	} {
		t.Setenv("XDG_STATE_HOME", value)
		if got, err := Root(); err != nil || got != want {
			t.Errorf("with XDG_STATE_HOME=%q: %q, %v, want %q", value, got, err, want)
		}
	}
}
