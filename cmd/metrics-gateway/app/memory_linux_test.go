package app

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestConstantAreas(t *testing.T) {
	const smaps = `00400000-02768000 r-xp 00000000 fe:00 1234    /gateway
Size:              36256 kB
Rss:               20000 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
02768000-0533b000 r--p 02368000 fe:00 1234    /gateway
Anonymous:             0 kB
0533b000-05400000 r--p 04f3b000 fe:00 1234    /gateway
Anonymous:            12 kB
05400000-05413000 rw-p 04f3b000 fe:00 1234    /gateway
Anonymous:             0 kB
c000000000-c000400000 rw-p 00000000 00:00 0
Anonymous:             0 kB
7f0000000000-7f0000001000 r-xp 00000000 fe:00 99    /lib/libc.so.6
Anonymous:             0 kB
7f0000001000-7f0000002000 r-xp 00000000 fe:00 1234    /gateway (deleted)
Anonymous:             0 kB
`
	got, err := constantAreas(strings.NewReader(smaps), "/gateway")
	if err != nil {
		t.Fatal(err)
	}
	want := []area{{0x400000, 0x2768000}, {0x2768000, 0x533b000}} // Code and constants.
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(area{})); diff != "" {
		t.Errorf("areas differ (-want +got):\n%s", diff)
	}
}

// The program goes on as before with fewer of its pages resident.
func TestUnmapProgram(t *testing.T) {
	before := residentOfFiles(t)
	if err := unmapProgram(); err != nil {
		t.Fatal(err)
	}
	if after := residentOfFiles(t); after >= before {
		t.Errorf("%d kB of files are resident, before there were %d", after, before)
	}
}

func residentOfFiles(t *testing.T) (kB int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, status, _ = bytes.Cut(status, []byte("RssFile:"))
	if _, err := fmt.Sscanf(string(status), "%d kB", &kB); err != nil {
		t.Fatal(err)
	}
	return kB
}
