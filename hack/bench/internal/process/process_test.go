package process

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCPUAndMemoryAreThoseOfTheProgram(t *testing.T) {
	t.Parallel()
	p, err := Start(t.TempDir(), "busy", "sh", "-c", "while :; do :; done")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	deadline := time.Now().Add(30 * time.Second)
	for {
		cpu, err := p.CPU()
		if err != nil {
			t.Fatal(err)
		}
		if cpu >= 50*time.Millisecond {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a busy loop has used %s of CPU in 30 s", cpu)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := p.ResetPeak(); err != nil {
		t.Fatal(err)
	}
	memory, err := p.Memory()
	if err != nil {
		t.Fatal(err)
	}
	if memory.Now < 100<<10 || memory.Peak < memory.Now || memory.Peak > 100<<20 {
		t.Errorf("memory of a shell: %+v", memory)
	}
	if memory.Anonymous <= 0 || memory.File <= 0 || memory.Anonymous+memory.File != memory.Now {
		t.Errorf("parts of the memory of a shell: %+v", memory)
	}
}

func TestTheEndOfAProgramIsToldWithItsLastWords(t *testing.T) {
	t.Parallel()
	p, err := Start(t.TempDir(), "talker", "sh", "-c", "echo the disk is full; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	<-p.ended
	_, err = p.CPU()
	for _, want := range []string{"talker", "exit status 3", "the disk is full"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func TestAProgramIsFoundFromHere(t *testing.T) {
	t.Parallel()
	here, err := filepath.Rel(mustGetwd(t), filepath.Join(t.TempDir(), "program"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(here, []byte("#!/bin/sh\nexit 0\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	p, err := Start(t.TempDir(), "program", here)
	if err != nil {
		t.Fatal(err)
	}
	p.Stop()
}

func mustGetwd(t *testing.T) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestParseCPU(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		stat string
		want time.Duration
		fail bool
	}{
		"utime and stime are added":         {stat: "7 (p) S 1 1 1 0 -1 0 0 0 0 0 150 25 9 9 20 0", want: 1750 * time.Millisecond},
		"a name may look like other fields": {stat: "7 (a) S 1 (b) S 1 1 1 0 -1 0 0 0 0 0 2 1 9 9 20 0", want: 30 * time.Millisecond},
		"a short line is an error":          {stat: "7 (p) S 1 1 1", fail: true},
		"a word is an error":                {stat: "7 (p) S 1 1 1 0 -1 0 0 0 0 0 many 25 9 9 20 0", fail: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseCPU(test.stat)
			if got != test.want || (err != nil) != test.fail {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
}
