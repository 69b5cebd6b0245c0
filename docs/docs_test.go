// Package docs tests what the documentation promises where that can be checked by reading.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// TestEveryDifferenceIsAsserted looks for a test of each row of the migration guide's table by the row's id.
func TestEveryDifferenceIsAsserted(t *testing.T) {
	t.Parallel()
	const guide = "migration/metrics-server.md"
	rows := regexp.MustCompile(`(?m)^\| (12\.\d+) \|`).FindAllStringSubmatch(read(t, guide), -1)
	if len(rows) < 20 {
		t.Fatalf("%s has %d rows with an id, expected the whole table", guide, len(rows))
	}
	named := namedInTests(t, "../cmd", "../deploy", "../pkg", "../test")
	for _, row := range rows {
		if id := row[1]; !named[id] {
			t.Errorf("%s has a difference %s that no test names", guide, id)
		}
	}
}

// TestEveryConformanceRowIsAsserted looks for a test of each row of metrics-server's conformance table by the row's
// id, in the packages that the rows are about: other packages' tests have tables and ids of their own.
func TestEveryConformanceRowIsAsserted(t *testing.T) {
	t.Parallel()
	const table = "testdata/conformance-ids.txt"
	named := namedInTests(t, "../cmd", "../pkg/client/kubelet", "../pkg/objects", "../pkg/provider/resource",
		"../pkg/scrape", "../pkg/server", "../pkg/store")
	for id := range strings.FieldsSeq(read(t, table)) {
		if !named[id] {
			t.Errorf("%s has a row %s that no test names", table, id)
		}
	}
}

// namedInTests returns the words of the comments and strings, names of cases among them, of all tests in some folders.
func namedInTests(t *testing.T, folders ...string) map[string]bool {
	t.Helper()
	texts := regexp.MustCompile(`"[^"\n]*"|//.*`)
	words := map[string]bool{}
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			for _, text := range texts.FindAllString(read(t, path), -1) {
				for word := range strings.FieldsFuncSeq(text, isNoPartOfAWord) {
					words[strings.TrimRight(word, ".")] = true
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return words
}

func isNoPartOfAWord(r rune) bool {
	return r != '.' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
