package naming

import (
	"reflect"
	"testing"
)

// TestTemplatesAreGivenNoMethods is what hack/build relies on: a template of a released binary cannot call any.
func TestTemplatesAreGivenNoMethods(t *testing.T) {
	t.Parallel()
	seen := map[reflect.Type]bool{}
	var look func(of reflect.Type)
	look = func(of reflect.Type) {
		if seen[of] {
			return
		}
		seen[of] = true
		if n := of.NumMethod() + reflect.PointerTo(of).NumMethod(); n > 0 {
			t.Errorf("%s has %d methods", of, n)
		}
		switch of.Kind() {
		case reflect.Struct:
			for field := range of.Fields() {
				look(field.Type)
			}
		case reflect.Map, reflect.Slice, reflect.Pointer:
			look(of.Elem())
		default:
		}
	}
	look(reflect.TypeFor[arguments]())
	look(reflect.TypeFor[variables]())
	if len(seen) < 5 {
		t.Errorf("looked at %d types, want more", len(seen))
	}
}
