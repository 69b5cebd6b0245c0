package reload

import (
	"context"

	"github.com/fsnotify/fsnotify"
	"k8s.io/klog/v2"
)

// directory tells of changes in a directory as well as it can. Polling makes up for what it does not tell.
type directory struct {
	path    string
	watcher *fsnotify.Watcher // nil if the system has none to give
	names   chan string
	logger  klog.Logger
	failing bool
}

// watch watches a directory until it is closed.
func watch(ctx context.Context, path string) *directory {
	d := &directory{path: path, names: make(chan string), logger: klog.FromContext(ctx).WithValues("directory", path)}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		d.logger.Info("Cannot watch for changes of files, polling alone", "reason", err.Error())
		return d
	}
	d.watcher = watcher
	d.rewatch()
	go d.forward(ctx)
	return d
}

// forward passes the names on that events are about. What fsnotify reports as errors is that events were lost.
func (d *directory) forward(ctx context.Context) {
	for {
		var name string
		select {
		case event, ok := <-d.watcher.Events:
			if !ok {
				return
			}
			name = event.Name
		case _, ok := <-d.watcher.Errors:
			if !ok {
				return
			}
			continue
		}
		select {
		case d.names <- name:
		case <-ctx.Done():
			return
		}
	}
}

// events returns the channel of names; nothing comes if there is nothing that watches.
func (d *directory) events() <-chan string { return d.names }

// rewatch watches the directory again if it was gone in between. Watching it twice is watching it once.
func (d *directory) rewatch() {
	if d.watcher == nil {
		return
	}
	err := d.watcher.Add(d.path)
	if err != nil && !d.failing {
		d.logger.Info("Cannot watch a directory, polling alone", "reason", err.Error())
	}
	d.failing = err != nil
}

func (d *directory) close() {
	if d.watcher != nil {
		_ = d.watcher.Close() // It has nothing to lose.
	}
}
