// Package reload follows the configuration file while the process runs.
//
//	watcher := reload.New(path, reload.Options{Registerer: registry})
//	cfg, err := watcher.Load() // at the start an error ends the process
//	...
//	err = watcher.Run(ctx, func(cfg *config.Config) error { ... })
//
// The directory of the file is watched, and the file is polled besides: a ConfigMap's mount swaps a symbolic link, an
// editor renames, a network file system says nothing at all. What counts is the content. The last good one stays in use
// until there is another good one.
package reload
