package process

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func newTestGroup(t *testing.T) (*Group, context.Context, string) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	t.Cleanup(func() { cancel(nil) })
	dir := t.TempDir()
	records := filepath.Join(dir, "processes")
	return NewGroup(NewSpawner(), dir, records, cancel), ctx, records
}

func TestGroupFailsWithTheLastWordsOfAProcessThatEnds(t *testing.T) {
	t.Parallel()
	g, ctx, _ := newTestGroup(t)
	if err := g.Start("talker", "sh", "-c", "echo the disk is full; exit 3"); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	got := context.Cause(ctx).Error()
	for _, want := range []string{"talker", "exit status 3", "the disk is full"} {
		if !strings.Contains(got, want) {
			t.Errorf("reason %q does not say %q", got, want)
		}
	}
}

func TestStopEndsAllProcessesAndIsNoFailure(t *testing.T) {
	t.Parallel()
	g, ctx, path := newTestGroup(t)
	for _, name := range []string{"one", "two"} {
		if err := g.Start(name, "sleep", "60"); err != nil {
			t.Fatal(err)
		}
	}
	records, err := ReadRecords(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 2 || !records[0].Alive() || !records[1].Alive() {
		t.Fatalf("records = %v, want those of two living processes", records)
	}
	if err := g.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.Alive() {
			t.Errorf("%s is alive after Stop", r.Name)
		}
	}
	if ctx.Err() != nil {
		t.Errorf("the group failed: %v", context.Cause(ctx))
	}
	if err := g.Start("late", "sleep", "60"); err == nil {
		t.Error("a process was started after Stop")
	}
}

func TestWithoutProxy(t *testing.T) {
	t.Parallel()
	got := withoutProxy([]string{"HOME=/h", "https_proxy=http://p", "HTTP_PROXY=http://p", "NO_PROXY=x", "ALL_PROXY=socks"})
	if diff := cmp.Diff([]string{"HOME=/h", "NO_PROXY=x"}, got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}
