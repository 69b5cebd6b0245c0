// Package image packs programs as container images, without a container engine.
package image

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Pack packs a program under a name that pods ask for and returns the path of the tarball, which it writes to dir. root is the
// repository.
func Pack(ctx context.Context, root, program, name, dir string) (string, error) {
	tarball := filepath.Join(dir, filepath.Base(program)+".tar")
	cmd := exec.CommandContext(ctx, "go", "run", "./hack/image",
		"--binary", program, "--name", name, "--output", tarball, "--platform", "linux/"+runtime.GOARCH)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if output, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "", fmt.Errorf("image %s: %w\n%s", name, err, strings.TrimSpace(string(output)))
	}
	return tarball, nil
}
