// Command cluster runs a real Kubernetes cluster on this machine, without Docker and without downloads other than Go modules,
// for trying metrics-gateway and for its tests. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/box"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/cluster"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/progress"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/state"
	"github.com/metrics-gateway/metrics-gateway/hack/cluster/internal/toolchain"
)

const usage = `Usage: go run ./hack/cluster COMMAND [flags]

Commands:
  up               start a cluster with metrics-gateway, show kubectl top, stay until Ctrl-C
  exec -- CMD ...  start a cluster, run CMD on it, remove it, exit as CMD did
  tools [MODULE..] build etcd, kube-apiserver, kubectl and the rest (or those of the named modules), print their folder
  down             clean up after clusters whose program was killed

Flags of a command: go run ./hack/cluster COMMAND -h
`

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if os.Args[1] == box.InitCommand {
		box.Init()
		return
	}
	if err := followGo(); err != nil {
		fmt.Fprintf(os.Stderr, "cluster: %v\n", err)
		os.Exit(1)
	}
	// Where HTTP goes through a proxy, the cluster does not.
	if err := bypassProxy(); err != nil {
		fmt.Fprintf(os.Stderr, "cluster: %v\n", err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := run(ctx, os.Args[1], os.Args[2:])
	var failed commandError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.As(err, &failed):
		os.Exit(failed.code) //nolint:gocritic // the process ends here
	default:
		fmt.Fprintf(os.Stderr, "cluster: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, command string, args []string) error {
	out := progress.New(os.Stderr)
	switch command {
	case "up":
		return up(ctx, args, out)
	case "exec":
		return execute(ctx, args, out)
	case "tools":
		return tools(ctx, args, out)
	case "down":
		return down(args, out)
	case "help", "-h", "--help":
		fmt.Print(usage)
		return nil
	default:
		return fmt.Errorf("command %q: unknown\n\n%s", command, usage)
	}
}

// modulesDir holds the tool modules.
const modulesDir = "hack/cluster/modules"

// clusterModules are the tool modules of what a cluster is made of.
var clusterModules = []string{"etcd", "kubernetes", "kwok"}

// tools builds the programs and prints their folder alone to standard output, for scripts.
func tools(ctx context.Context, args []string, out *progress.Printer) error {
	flags := flag.NewFlagSet("tools", flag.ContinueOnError)
	if err := flags.Parse(args); err != nil {
		return err
	}
	modules := flags.Args()
	if len(modules) == 0 {
		modules = clusterModules
	}
	root, cache, err := folders(ctx)
	if err != nil {
		return err
	}
	bin, err := toolchain.Build(ctx, filepath.Join(root, modulesDir), modules, cache, out)
	if err != nil {
		return err
	}
	fmt.Println(bin)
	return nil
}

func down(args []string, out *progress.Printer) error {
	flags := flag.NewFlagSet("down", flag.ContinueOnError)
	if err := parse(flags, args); err != nil {
		return err
	}
	root, err := state.Root()
	if err != nil {
		return err
	}
	running, err := cluster.RemoveLeftovers(root, out)
	for _, dir := range running {
		out.Printf("left alone, its program still runs: %s", dir)
	}
	return err
}

// parse parses the flags of a command that takes no other arguments.
func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%s: unexpected argument %q", flags.Name(), flags.Arg(0))
	}
	return nil
}

// folders returns the root of the repository and the folder for what is kept from run to run.
func folders(ctx context.Context) (root, cache string, err error) {
	root, err = toolchain.Root(ctx)
	if err != nil {
		return "", "", err
	}
	cache, err = os.UserCacheDir()
	if err != nil {
		return "", "", fmt.Errorf("cache folder: %w (set HOME or XDG_CACHE_HOME)", err)
	}
	return root, filepath.Join(cache, "metrics-gateway"), nil
}

// followGo makes this program end as by SIGTERM when "go run", which started it, is terminated or killed: it does not pass that
// on, and the cluster would live on unseen.
func followGo() error {
	// A parent in another PID namespace cannot be seen. It is not "go run" then.
	parent, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", os.Getppid()))
	if strings.TrimSpace(string(parent)) != "go" {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0); err != nil {
		return fmt.Errorf("follow go run: %w", err)
	}
	return nil
}

// bypassProxy adds the addresses of local clusters to NO_PROXY, for this program and the commands it runs.
func bypassProxy() error {
	local := []string{"127.0.0.0/8", "localhost", box.Links.String()}
	if old := os.Getenv("NO_PROXY"); old != "" {
		local = append(local, old)
	}
	return os.Setenv("NO_PROXY", strings.Join(local, ","))
}

// proxied reports whether other programs need NO_PROXY too.
func proxied() bool {
	return os.Getenv("HTTPS_PROXY") != "" || os.Getenv("https_proxy") != ""
}
