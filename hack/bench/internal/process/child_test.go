package process

import (
	"os/exec"
	"strings"
	"testing"
)

func TestFindChild(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // It says that it was killed.
	}()
	child, err := FindChild("sleep")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := child.CPU(); err != nil {
		t.Error(err)
	}
	if _, err := FindChild("sleeper"); err == nil || !strings.Contains(err.Error(), "sleeper") {
		t.Errorf("error %v about a child that does not exist", err)
	}
}

func TestIsChild(t *testing.T) {
	t.Parallel()
	const stat = "42 (kube-apiserver) S 7 42 7 0 -1 4194304"
	for name, test := range map[string]struct {
		name   string
		parent int
		want   bool
	}{
		"it is":            {"kube-apiserver", 7, true},
		"of another one":   {"kube-apiserver", 42, false},
		"another name":     {"etcd", 7, false},
		"part of its name": {"kube", 7, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := isChild(stat, test.name, test.parent); got != test.want {
				t.Errorf("got %t", got)
			}
		})
	}
}
