package query

import (
	"hash/maphash"
	"slices"
	"time"
)

const (
	// attention is how long a reader is counted after it asked. The HPA controller asks every 15 s: who comes back is
	// counted without a gap, who came once is soon forgotten.
	attention = 30 * time.Second
	// minReaders of a namespace are what a query for all of its objects is for. One HPA for one of 5,000 pods is better
	// off with its own query. With the second one, the query for all replaces two, and every further reader is for free.
	minReaders = 2
	// minNamespaces are what a query for the whole cluster is for. Four replace at least four queries; below that, the
	// other namespaces would cost more than is saved.
	minNamespaces = 4
	// aversion is how long a form is not tried again that the backend refused or did not manage. Each try costs a reader
	// time, up to the timeout of the backend.
	aversion = 5 * time.Minute
	// maxDemands bounds the forms whose readers are counted. Each costs some 200 bytes and its query.
	maxDemands = 10_000
)

// demand tells which of a plan's forms is worth it, from who has asked lately.
type demand struct {
	seed  maphash.Seed
	forms map[key]*formDemand
}

// formDemand is who wants a form.
type formDemand struct {
	askers [minNamespaces]asker
	last   time.Time
	// refused is until when the form is not to be tried.
	refused time.Time
}

// asker is a reader, or a namespace with readers.
type asker struct {
	who  uint64
	last time.Time
}

func newDemand() *demand {
	return &demand{seed: maphash.MakeSeed(), forms: make(map[key]*formDemand)}
}

// note takes in that a request has been made, and returns how it should be evaluated.
func (d *demand) note(r Request, forms *forms, now time.Time) Scope {
	if d.worth(forms.cluster, r.Namespace, minNamespaces, now) {
		return Cluster
	}
	// The first of its objects stands for a reader: its other pods come and go more often.
	if len(r.Names) > 0 && d.worth(forms.namespace, r.Names[0], minReaders, now) {
		return Namespace
	}
	return Asked
}

// worth notes who wants a form, and tells whether enough others do.
func (d *demand) worth(form key, who string, atLeast int, now time.Time) bool {
	if form.query == "" {
		return false
	}
	f, ok := d.forms[form]
	if !ok {
		d.makeRoom(now)
		f = &formDemand{}
		d.forms[form] = f
	}
	f.last = now
	return f.count(maphash.String(d.seed, who), now) >= atLeast && !now.Before(f.refused)
}

// count notes an asker, and returns how many there have been lately, as far as there is room for them. They are in the
// order in which they asked, the last one first.
func (f *formDemand) count(who uint64, now time.Time) int {
	i := slices.IndexFunc(f.askers[:], func(a asker) bool { return a.who == who })
	if i < 0 {
		i = len(f.askers) - 1
	}
	copy(f.askers[1:i+1], f.askers[:i])
	f.askers[0] = asker{who, now}
	count := 0
	for _, a := range f.askers {
		if !a.last.IsZero() && now.Sub(a.last) < attention {
			count++
		}
	}
	return count
}

// refuse has a form not tried for a while.
func (d *demand) refuse(form key, now time.Time) {
	if f, ok := d.forms[form]; ok {
		f.refused = now.Add(aversion)
	}
}

// makeRoom forgets forms that nobody wants any more if there are many, and all if that is not enough.
func (d *demand) makeRoom(now time.Time) {
	if len(d.forms) < maxDemands {
		return
	}
	for form, f := range d.forms {
		if now.Sub(f.last) >= attention && !now.Before(f.refused) {
			delete(d.forms, form)
		}
	}
	if len(d.forms) >= maxDemands {
		clear(d.forms)
	}
}
