package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseStartTicks(t *testing.T) {
	t.Parallel()
	tail := " 1 2 3 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 426101 1000 200"
	tests := map[string]struct {
		stat    string
		want    uint64
		wantErr bool
	}{
		"an ordinary name":                      {stat: "42 (etcd) S" + tail, want: 426101},
		"a name with spaces and parentheses":    {stat: "42 (a) b (c) S" + tail, want: 426101},
		"a process that has ended is not one":   {stat: "42 (etcd) Z" + tail, wantErr: true},
		"a line cut short is an error":          {stat: "42 (etcd) S 1 2", wantErr: true},
		"a line without a name is an error":     {stat: "", wantErr: true},
		"a start that is no number is an error": {stat: "42 (etcd) S 1 2 3 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 x", wantErr: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseStartTicks(test.stat)
			if (err != nil) != test.wantErr {
				t.Fatalf("error = %v, want one: %v", err, test.wantErr)
			}
			if got != test.want {
				t.Errorf("ticks = %d, want %d", got, test.want)
			}
		})
	}
}

func TestKillSparesAnotherProcessWithTheSamePID(t *testing.T) {
	t.Parallel()
	sleep := exec.CommandContext(t.Context(), "sleep", "60")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	recorded, err := NewRecord("sleep", sleep.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}

	older, rebooted := recorded, recorded
	older.StartTicks--
	rebooted.BootID = "another boot"
	for _, other := range []Record{older, rebooted} {
		if err := other.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if !recorded.Alive() {
		t.Fatal("the process was killed for another one's record")
	}

	if err := recorded.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := sleep.Wait(); err == nil {
		t.Error("the recorded process ended by itself, want it killed")
	}
	if recorded.Alive() {
		t.Error("the killed process counts as alive")
	}
}

func TestRecordsAreReadBackUpToALineCutShort(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "processes")
	want := []Record{
		{Name: "etcd", PID: 1, StartTicks: 10, BootID: "boot"},
		{Name: "kubelet", PID: 2, StartTicks: 20, BootID: "boot"},
	}
	for _, r := range want {
		if err := Append(path, r); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"name":"kube-pr`); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}

	got, err := ReadRecords(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestNoFileIsNoRecords(t *testing.T) {
	t.Parallel()
	got, err := ReadRecords(filepath.Join(t.TempDir(), "none"))
	if err != nil || got != nil {
		t.Errorf("got %v, %v, want nothing", got, err)
	}
}
