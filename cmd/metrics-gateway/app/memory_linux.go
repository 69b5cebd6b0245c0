package app

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// unmapProgram takes the pages of the binary's code and constants out of memory as this process sees it. What is used
// again is mapped again by the kernel, from its cache of the file. What was used at the start only is no longer counted
// as resident, nor, on the kernel's list of inactive pages, as the working set of the container.
func unmapProgram() error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return err
	}
	defer maps.Close()
	areas, err := constantAreas(maps, program)
	if err != nil {
		return err
	}
	for _, a := range areas {
		// Kernels before 5.4 do not know the first, which only hastens what they do when memory is scarce.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, a.begin, a.end-a.begin, unix.MADV_COLD)
		if _, _, code := unix.Syscall(unix.SYS_MADVISE, a.begin, a.end-a.begin, unix.MADV_DONTNEED); code != 0 {
			return fmt.Errorf("madvise of the pages of %s: %w", program, code)
		}
	}
	return nil
}

// area is a range of addresses.
type area struct{ begin, end uintptr }

// constantAreas returns where /proc/PID/smaps says that memory is the same as in the file: it cannot be written to, and
// was not before, as tables are that the dynamic linker has filled.
func constantAreas(smaps io.Reader, file string) ([]area, error) {
	var (
		areas    []area
		last     area
		readOnly bool
	)
	for lines := bufio.NewScanner(smaps); ; {
		if !lines.Scan() {
			return areas, lines.Err()
		}
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 5 && !strings.HasSuffix(fields[0], ":"):
			_, err := fmt.Sscanf(fields[0], "%x-%x", &last.begin, &last.end)
			readOnly = err == nil && len(fields) == 6 && fields[5] == file && strings.HasPrefix(fields[1], "r-")
		case readOnly && len(fields) == 3 && fields[0] == "Anonymous:" && fields[1] == "0":
			areas = append(areas, last)
		}
	}
}
