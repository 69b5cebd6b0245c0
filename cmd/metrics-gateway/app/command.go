// Package app is the metrics-gateway command: its flags, and the wiring of everything that the flags ask for.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/klog/v2"

	"github.com/metrics-gateway/metrics-gateway/internal/version"
)

// name is the name of the command, and of the program in its user agent.
const name = "metrics-gateway"

// Run runs the command with the given arguments until it is done or ctx is, and returns the exit code of the process:
// 0, or 1 after it has written what is wrong to stderr, one line an error.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	defer logs.FlushLogs()
	err := execute(ctx, args, stdout, stderr)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = nil // It has ended because it was told to.
	}
	for _, line := range errorLines(err) {
		fmt.Fprintf(stderr, "%s: %s\n", name, line)
	}
	if err != nil {
		return 1
	}
	return 0
}

func execute(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := newOptions()
	if err != nil {
		return err
	}
	command := newCommand(o, stdout)
	command.SetArgs(args)
	command.SetOut(stdout)
	command.SetErr(stderr)
	return command.ExecuteContext(ctx)
}

// errorLines returns the errors that err is made of, each once and in one line.
func errorLines(err error) []string {
	if err == nil {
		return nil
	}
	var lines []string
	for _, err := range flatten(err) {
		line := strings.Join(strings.Fields(err.Error()), " ")
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// flatten returns the errors that a list of separate ones is made of. A list that is wrapped is part of one error.
func flatten(err error) []error {
	var all []error
	switch list := err.(type) { //nolint:errorlint // See above.
	case utilerrors.Aggregate:
		return utilerrors.Flatten(list).Errors()
	case interface{ Unwrap() []error }:
		for _, err := range list.Unwrap() {
			all = append(all, flatten(err)...)
		}
		return all
	default:
		return append(all, err)
	}
}

func newCommand(o *options, stdout io.Writer) *cobra.Command {
	command := &cobra.Command{
		Use: name + " [flags]",
		Long: "metrics-gateway is an aggregated API server for kubectl top and for autoscaling: it reads the resource usage of nodes and\n" +
			"pods from the kubelets and serves it as metrics.k8s.io, and with --config it serves what Prometheus has as\n" +
			"custom.metrics.k8s.io and external.metrics.k8s.io, by the rules of prometheus-adapter.",
		// Errors are written by Run, and the usage is longer than a screen.
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(command *cobra.Command, args []string) error {
			if o.showVersion {
				_, err := fmt.Fprintln(command.OutOrStdout(), name, version.Get())
				return err
			}
			if err := o.apply(); err != nil {
				return err
			}
			logger := klog.Background()
			o.warn(logger, args)
			return o.run(klog.NewContext(command.Context(), logger))
		},
	}
	command.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return fmt.Errorf("%w; %s --help lists the flags", err, name)
	})
	// Kubernetes takes its flags with underscores too.
	command.Flags().SetNormalizeFunc(cliflag.WordSepNormalizeFunc)
	fss := o.flags()
	for _, section := range fss.Order {
		command.Flags().AddFlagSet(fss.FlagSets[section])
	}
	cliflag.SetUsageAndHelpFunc(command, fss, terminalWidth(stdout))
	return command
}

// terminalWidth returns the width of the terminal that w writes to, 0 if that is none.
func terminalWidth(w io.Writer) int {
	file, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// apply makes feature gates and logging what the command line says, which both are the process's own, and returns
// everything that is wrong with the options.
func (o *options) apply() error {
	registry := o.generic.ComponentGlobalsRegistry
	errs := []error{registry.Set()}
	if err := logsapi.ValidateAndApplyAsField(o.logging, registry.FeatureGateFor(o.generic.ComponentName), field.NewPath("logging")); err != nil {
		errs = append(errs, err)
	}
	return utilerrors.NewAggregate(append(errs, o.validate()...))
}

// warn logs what was accepted and has no effect.
func (o *options) warn(logger klog.Logger, args []string) {
	if removed := o.removed.given(); len(removed) > 0 {
		logger.Info("Ignoring flags that no longer have an effect, remove them from the command line", "flags", removed)
	}
	if len(args) > 0 {
		logger.Info("Ignoring arguments that are not flags, remove them from the command line", "arguments", args)
	}
	if (o.audit.LogOptions.Path != "" || o.audit.WebhookOptions.ConfigFile != "") && o.audit.PolicyFile == "" {
		logger.Info("No audit events are recorded without --audit-policy-file")
	}
}
