package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestImageReadsBackAsItWasAskedFor(t *testing.T) {
	t.Parallel()
	program := writeELF(t, elf.EM_X86_64, elf.PT_LOAD)
	output := filepath.Join(t.TempDir(), "image.tar")
	args := []string{
		"--binary", program, "--name", "example.com/team/gateway:v1.2.3", "--output", output,
		"--entrypoint", "/gateway", "--platform", "linux/amd64",
	}
	if err := run(args, "", io.Discard); err != nil {
		t.Fatal(err)
	}

	image, err := tarball.ImageFromPath(output, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	epoch := time.Unix(0, 0).UTC()
	want := &v1.ConfigFile{
		Architecture: "amd64",
		OS:           "linux",
		Created:      v1.Time{Time: epoch},
		History:      []v1.History{{Created: v1.Time{Time: epoch}, CreatedBy: "hack/image"}},
		RootFS:       config.RootFS,
		Config: v1.Config{
			Entrypoint: []string{"/gateway"},
			User:       "65532:65532",
			WorkingDir: "/",
			Labels: map[string]string{
				"org.opencontainers.image.source":   "https://github.com/metrics-gateway/metrics-gateway",
				"org.opencontainers.image.version":  "v1.2.3",
				"org.opencontainers.image.licenses": "Apache-2.0",
			},
		},
	}
	if diff := cmp.Diff(want, config); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}

	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(output) })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"example.com/team/gateway:v1.2.3"}, manifest[0].RepoTags); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}

	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	wantFiles := []file{
		{Name: "gateway", Mode: 0o555, Modified: epoch, Content: content},
		{Name: "tmp/", Mode: 0o1777, Modified: epoch, Content: []byte{}},
	}
	if diff := cmp.Diff(wantFiles, files(t, image)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestSameInputGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	program := writeELF(t, elf.EM_AARCH64, elf.PT_LOAD)
	var written [2][]byte
	for i := range written {
		output := filepath.Join(t.TempDir(), "image.tar")
		if err := run([]string{"--binary", program, "--name", "gateway", "--output", output, "--platform", "linux/arm64"}, "", io.Discard); err != nil {
			t.Fatal(err)
		}
		var err error
		if written[i], err = os.ReadFile(output); err != nil {
			t.Fatal(err)
		}
		// The second image is made from a file that only differs in its times.
		if err := os.Chtimes(program, time.Now(), time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(written[0], written[1]) {
		t.Error("two runs wrote different tarballs")
	}
}

func TestSourceDate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		epoch   string
		want    time.Time
		wantErr bool
	}{
		"unset is the epoch":            {epoch: "", want: time.Unix(0, 0).UTC()},
		"seconds are taken as they are": {epoch: "1700000000", want: time.Unix(1700000000, 0).UTC()},
		"a date is refused":             {epoch: "2026-01-01", wantErr: true},
		"a negative number is refused":  {epoch: "-1", wantErr: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := sourceDate(test.epoch)
			if (err != nil) != test.wantErr {
				t.Fatalf("error: want %t, got %v", test.wantErr, err)
			}
			if !got.Equal(test.want) {
				t.Errorf("want %s, got %s", test.want, got)
			}
		})
	}
}

func TestBuildRefuses(t *testing.T) {
	t.Parallel()
	static := writeELF(t, elf.EM_X86_64, elf.PT_LOAD)
	dynamic := writeELF(t, elf.EM_X86_64, elf.PT_INTERP)
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*options)
		want   string
	}{
		"a binary that needs a loader":        {change: func(o *options) { o.binary = dynamic }, want: "CGO_ENABLED=0"},
		"a file that is not a binary":         {change: func(o *options) { o.binary = script }, want: "not a Linux binary"},
		"another architecture":                {change: func(o *options) { o.platform = "linux/arm64" }, want: "does not run on linux/arm64"},
		"an unknown platform":                 {change: func(o *options) { o.platform = "plan9/amd64" }, want: "not supported"},
		"an entrypoint outside of the root":   {change: func(o *options) { o.entrypoint = "/usr/bin/gateway" }, want: "not a file in the root"},
		"an entrypoint that climbs":           {change: func(o *options) { o.entrypoint = "/../gateway" }, want: "not a file in the root"},
		"an entrypoint that names no file":    {change: func(o *options) { o.entrypoint = "/" }, want: "not a file in the root"},
		"a name that no registry would store": {change: func(o *options) { o.name = "UPPER CASE" }, want: "image name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options{binary: static, name: "gateway:v1", entrypoint: "/gateway", user: "1:1", platform: "linux/amd64"}
			test.change(&o)
			_, _, err := build(o)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error: want one with %q, got %v", test.want, err)
			}
		})
	}
}

type file struct {
	Name     string
	Mode     int64
	Modified time.Time
	Content  []byte
}

// files lists the entries of the image's only layer.
func files(t *testing.T, image v1.Image) []file {
	t.Helper()
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if len(layers) != 1 {
		t.Fatalf("layers: want 1, got %d", len(layers))
	}
	root, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var list []file
	for reader := tar.NewReader(root); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, file{Name: header.Name, Mode: header.Mode, Modified: header.ModTime.UTC(), Content: content})
	}
}

// writeELF writes the smallest file that reads as a binary: an ELF header and
// one program header of the given kind.
func writeELF(t *testing.T, machine elf.Machine, program elf.ProgType) string {
	t.Helper()
	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{
			0x7f, 'E', 'L', 'F',
			elf.EI_CLASS:   byte(elf.ELFCLASS64),
			elf.EI_DATA:    byte(elf.ELFDATA2LSB),
			elf.EI_VERSION: byte(elf.EV_CURRENT),
		},
		Type:      uint16(elf.ET_EXEC),
		Machine:   uint16(machine),
		Version:   uint32(elf.EV_CURRENT),
		Phoff:     64,
		Ehsize:    64,
		Phentsize: 56,
		Phnum:     1,
		Shentsize: 64,
	}
	var buffer bytes.Buffer
	for _, part := range []any{header, elf.Prog64{Type: uint32(program)}} {
		if err := binary.Write(&buffer, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	name := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(name, buffer.Bytes(), 0o700); err != nil {
		t.Fatal(err)
	}
	return name
}
