package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestThisGoCanBeBuiltWith looks at the templates of the Go that runs the test.
func TestThisGoCanBeBuiltWith(t *testing.T) {
	t.Parallel()
	overlay, err := writeOverlay(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	changed, err := os.ReadFile(filepath.Join(filepath.Dir(overlay), "exec.go"))
	if err != nil {
		t.Fatal(err)
	}
	if text := string(changed); strings.Contains(text, "MethodByName(f") || !strings.Contains(text, "method := (reflect.Value{}); method.IsValid()") {
		t.Errorf("templates of %s still call methods", runtime.Version())
	}
}

func TestWithoutMethods(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ source, want, err string }{
		"the line": {source: "if m := ptr.MethodByName(fieldName); m.IsValid() {", want: "if m := (reflect.Value{}); m.IsValid() {"},
		"no such line": {
			source: "package template",
			err:    `"ptr.MethodByName(fieldName)" is there 0 times, want once: this version of Go has other templates, see hack/build`,
		},
		"two of them": {
			source: "ptr.MethodByName(fieldName) || ptr.MethodByName(fieldName)",
			err:    `"ptr.MethodByName(fieldName)" is there 2 times, want once: this version of Go has other templates, see hack/build`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := withoutMethods([]byte(test.source))
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Errorf("source (-want +got):\n%s", diff)
			}
			message := ""
			if err != nil {
				message = err.Error()
			}
			if diff := cmp.Diff(test.err, message); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for program, want := range map[string]bool{
		"... text/template.(*Template).Execute ...":                        true,
		"... text/template.(*Template).DefinedTemplates text/template ...": false,
	} {
		if err := check([]byte(program)); (err == nil) != want {
			t.Errorf("%q: %v, want accepted: %v", program, err, want)
		}
	}
}
