package objects

import (
	"hash/maphash"
	"reflect"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// marks are what a label set leaves in 64 bits: four of them for each label. A set that lacks a mark lacks the label, so
// that a selector is asked about few others than those pods that it matches. With 8 labels, 1 of 40 sets has the marks of a
// label that it has not.
//
// That is what is kept instead of an index from labels to pods: 8 bytes for each pod, whatever its labels, in the order of the
// list, against some 40 bytes for each label of each pod where pods share none.
type marks uint64

// marker makes marks. It is safe for concurrent use.
type marker struct{ seed maphash.Seed }

func newMarker() marker { return marker{seed: maphash.MakeSeed()} }

// label returns the marks of one label.
func (m marker) label(key, value string) marks {
	const bits = 6 // enough to choose one of 64
	hash := maphash.Comparable(m.seed, [2]string{key, value})
	var marks marks
	for range 4 {
		marks |= 1 << (hash % (1 << bits))
		hash >>= bits
	}
	return marks
}

// of returns the marks of a label set.
func (m marker) of(set labels.Set) marks {
	var marks marks
	for key, value := range set {
		marks |= m.label(key, value)
	}
	return marks
}

// wanted are the marks of label sets that a selector may match. The zero wanted is of a selector that says nothing of values
// that must be there.
type wanted struct {
	all marks
	// any holds, for each requirement with several values, those of each value.
	any [][]marks
}

// wanted returns what the selector wants.
func (m marker) wanted(selector labels.Selector) wanted {
	var w wanted
	requirements, _ := selector.Requirements()
	for i := range requirements {
		switch requirement := &requirements[i]; requirement.Operator() {
		case selection.Equals, selection.DoubleEquals, selection.In:
			values := requirement.ValuesUnsorted()
			if len(values) == 1 {
				w.all |= m.label(requirement.Key(), values[0])
				continue
			}
			of := make([]marks, len(values))
			for i, value := range values {
				of[i] = m.label(requirement.Key(), value)
			}
			w.any = append(w.any, of)
		default: // Nothing that must be there.
		}
	}
	return w
}

// mayBe tells whether a label set with these marks may be wanted.
func (w *wanted) mayBe(marks marks) bool {
	return marks&w.all == w.all && (len(w.any) == 0 || w.mayBeAny(marks))
}

func (w *wanted) mayBeAny(marks marks) bool {
	for _, of := range w.any {
		if !marks.hasAny(of) {
			return false
		}
	}
	return true
}

func (m marks) hasAny(of []marks) bool {
	for _, value := range of {
		if m&value == value {
			return true
		}
	}
	return false
}

// sameLabels tells whether two pods share one label set. Pods that do not may still have equal ones.
func sameLabels(a, b *Pod) bool {
	return reflect.ValueOf(a.Labels).UnsafePointer() == reflect.ValueOf(b.Labels).UnsafePointer()
}
