package app

import "github.com/spf13/pflag"

// removedFlags are flags that Kubernetes' logging no longer has and old manifests still pass. They are accepted, do
// nothing, and are warned about once.
type removedFlags struct {
	flags []*pflag.Flag
}

func (r *removedFlags) addFlags(fs *pflag.FlagSet) {
	const usage = "Removed: has no effect."
	for _, name := range []string{"add-dir-header", "alsologtostderr", "logtostderr", "one-output", "skip-headers", "skip-log-headers"} {
		fs.Bool(name, false, usage)
		r.hide(fs.Lookup(name))
	}
	for _, name := range []string{"log-backtrace-at", "log-dir", "log-file", "log-file-max-size", "stderrthreshold"} {
		fs.String(name, "", usage)
		r.hide(fs.Lookup(name))
	}
}

func (r *removedFlags) hide(flag *pflag.Flag) {
	flag.Hidden = true
	r.flags = append(r.flags, flag)
}

// given returns the names of the removed flags that the command line has.
func (r *removedFlags) given() []string {
	var names []string
	for _, flag := range r.flags {
		if flag.Changed {
			names = append(names, "--"+flag.Name)
		}
	}
	return names
}
