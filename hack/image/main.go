// Command image packs one static Linux binary as a container image, without a
// container engine and without a base image.
//
// The tarball it writes is a docker-archive, which `ctr images import`,
// `docker load` and `podman load` take. It holds the binary, an empty /tmp and
// nothing else: no shell, no CA bundle (the gateway trusts the CA of its
// service account), no passwd file (the user is a number).
//
// The same binary, name and SOURCE_DATE_EPOCH give the same image, byte for byte.
//
//	go run ./hack/image --binary bin/metrics-gateway --name example.com/metrics-gateway:v1 --output bin/image.tar
package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const (
	source   = "https://github.com/metrics-gateway/metrics-gateway"
	licenses = "Apache-2.0"
)

// options is what the image is made of.
type options struct {
	binary     string // path of the binary on this machine
	name       string // image name with optional tag
	entrypoint string // absolute path of the binary inside the image
	user       string // UID:GID, numeric, so that runAsNonRoot can be checked without a passwd file
	platform   string // OS/ARCH
	created    time.Time
}

func main() {
	if err := run(os.Args[1:], os.Getenv("SOURCE_DATE_EPOCH"), os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "image: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string, epoch string, stdout io.Writer) error {
	var o options
	var output string
	flags := flag.NewFlagSet("image", flag.ExitOnError)
	flags.StringVar(&o.binary, "binary", "", "static Linux binary to pack (required)")
	flags.StringVar(&o.name, "name", "", "image name NAME[:TAG] (required)")
	flags.StringVar(&output, "output", "", "tarball to write (required)")
	flags.StringVar(&o.entrypoint, "entrypoint", "", "path of the binary in the image (default: / and the file name of the binary)")
	flags.StringVar(&o.user, "user", "65532:65532", "numeric user and group the image runs as")
	flags.StringVar(&o.platform, "platform", "linux/"+runtime.GOARCH, "operating system and architecture of the binary")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.binary == "" || o.name == "" || output == "" || flags.NArg() > 0 {
		return errors.New("need --binary, --name and --output, and no further arguments")
	}
	if o.entrypoint == "" {
		o.entrypoint = "/" + filepath.Base(o.binary)
	}

	created, err := sourceDate(epoch)
	if err != nil {
		return err
	}
	o.created = created

	tag, image, err := build(o)
	if err != nil {
		return err
	}
	if err := tarball.WriteToFile(output, tag, image); err != nil {
		return fmt.Errorf("image tarball %q: %w", output, err)
	}
	// The digest of the config is what engines show as image ID. That of the manifest is not in the tarball:
	// each engine makes a manifest of its own.
	id, err := image.ConfigName()
	if err != nil {
		return fmt.Errorf("ID of image %q: %w", o.name, err)
	}
	_, err = fmt.Fprintf(stdout, "%s (image ID %s) written to %s\n", tag, id, output)
	return err
}

// sourceDate is the time of everything in the image: seconds since the epoch as
// in https://reproducible-builds.org/specs/source-date-epoch/, 0 when unset.
func sourceDate(epoch string) (time.Time, error) {
	if epoch == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q is not a number of seconds", epoch)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// build makes the image and the reference it is stored under. The image is
// complete in memory: nothing is read from disk after build has returned.
func build(o options) (name.Tag, v1.Image, error) {
	tag, err := name.NewTag(o.name)
	if err != nil {
		return name.Tag{}, nil, fmt.Errorf("image name: %w", err)
	}
	platform, err := v1.ParsePlatform(o.platform)
	if err != nil {
		return name.Tag{}, nil, fmt.Errorf("platform: %w", err)
	}
	if path.Clean(o.entrypoint) != o.entrypoint || o.entrypoint != "/"+path.Base(o.entrypoint) {
		return name.Tag{}, nil, fmt.Errorf("entrypoint %q is not a file in the root directory", o.entrypoint)
	}
	binary, err := os.ReadFile(o.binary)
	if err != nil {
		return name.Tag{}, nil, err
	}
	if err := checkBinary(binary, platform); err != nil {
		return name.Tag{}, nil, fmt.Errorf("binary %q: %w", o.binary, err)
	}

	layer, err := rootLayer(o.entrypoint, binary, o.created)
	if err != nil {
		return name.Tag{}, nil, err
	}
	image, err := mutate.Append(empty.Image, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: o.created}, CreatedBy: "hack/image"},
	})
	if err != nil {
		return name.Tag{}, nil, fmt.Errorf("image layer: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return name.Tag{}, nil, fmt.Errorf("image config: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture, platform.Variant
	config.Created = v1.Time{Time: o.created}
	config.Config = v1.Config{
		Entrypoint: []string{o.entrypoint},
		User:       o.user,
		WorkingDir: "/",
		// Keys of https://github.com/opencontainers/image-spec/blob/main/annotations.md.
		Labels: map[string]string{
			"org.opencontainers.image.source":   source,
			"org.opencontainers.image.version":  tag.TagStr(),
			"org.opencontainers.image.licenses": licenses,
		},
	}
	image, err = mutate.ConfigFile(image, config)
	if err != nil {
		return name.Tag{}, nil, fmt.Errorf("image config: %w", err)
	}
	return tag, image, nil
}

// checkBinary refuses what would only fail when a container starts: another
// architecture ("exec format error") and a binary that needs a dynamic loader,
// which the image does not have ("no such file or directory").
func checkBinary(binary []byte, platform *v1.Platform) error {
	machines := map[string]elf.Machine{
		"linux/amd64":   elf.EM_X86_64,
		"linux/arm":     elf.EM_ARM,
		"linux/arm64":   elf.EM_AARCH64,
		"linux/ppc64le": elf.EM_PPC64,
		"linux/s390x":   elf.EM_S390,
	}
	machine, ok := machines[platform.OS+"/"+platform.Architecture]
	if !ok {
		return fmt.Errorf("platform %s is not supported", platform)
	}
	file, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		return fmt.Errorf("not a Linux binary: %w", err)
	}
	if file.Machine != machine {
		return fmt.Errorf("built for %s, which does not run on %s", file.Machine, platform)
	}
	for _, program := range file.Progs {
		if program.Type == elf.PT_INTERP {
			return errors.New("needs a dynamic loader: build it with CGO_ENABLED=0")
		}
	}
	return nil
}

// rootLayer is the one layer: the binary, executable by everyone and writable by
// nobody, and a /tmp that programs without a mounted volume can use.
func rootLayer(entrypoint string, binary []byte, modified time.Time) (v1.Layer, error) {
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	for _, entry := range []struct {
		header tar.Header
		body   []byte
	}{
		{header: tar.Header{Typeflag: tar.TypeReg, Name: entrypoint[1:], Mode: 0o555}, body: binary},
		{header: tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}},
	} {
		entry.header.Size = int64(len(entry.body))
		entry.header.ModTime = modified
		entry.header.Format = tar.FormatPAX
		if err := writer.WriteHeader(&entry.header); err != nil {
			return nil, fmt.Errorf("image layer entry %q: %w", entry.header.Name, err)
		}
		if _, err := writer.Write(entry.body); err != nil {
			return nil, fmt.Errorf("image layer entry %q: %w", entry.header.Name, err)
		}
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("image layer: %w", err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(buffer.Bytes())), nil
	})
	if err != nil {
		return nil, fmt.Errorf("image layer: %w", err)
	}
	return layer, nil
}
