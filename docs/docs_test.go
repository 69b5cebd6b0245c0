// Package docs tests what the documentation promises where that can be checked by reading.
package docs

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// TestEveryDifferenceIsAsserted looks for a test of each row of the migration guides' tables by the row's id, in the
// packages that the rows are about: other packages' tests have tables and ids of their own.
func TestEveryDifferenceIsAsserted(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		id      string
		rows    int // How many there are at least.
		folders []string
	}{
		"migration/metrics-server.md": {
			id: `12\.\d+`, rows: 20,
			folders: []string{"../cmd", "../deploy", "../pkg", "../test"},
		},
		"migration/prometheus-adapter.md": {
			id: `P\d+`, rows: 60,
			folders: []string{
				"../cmd", "../deploy", "../pkg/client/prometheus", "../pkg/config", "../pkg/discovery", "../pkg/kinds",
				"../pkg/naming", "../pkg/provider", "../pkg/server", "../test",
			},
		},
	}
	for guide, test := range tests {
		t.Run(guide, func(t *testing.T) {
			t.Parallel()
			rows := differences(t, guide, test.id)
			if len(rows) < test.rows {
				t.Fatalf("%s has %d rows with an id, expected the whole table", guide, len(rows))
			}
			named := namedInTests(t, test.folders...)
			for _, c := range semanticsCases(t) {
				named[c.Differs] = true // The case asserts the answer that differs.
			}
			for _, id := range rows {
				if !named[id] {
					t.Errorf("%s has a difference %s that no test names", guide, id)
				}
			}
		})
	}
}

// differences returns the ids of the rows of a migration guide's table.
func differences(t *testing.T, guide, id string) []string {
	t.Helper()
	ids := submatches(regexp.MustCompile(`(?m)^\| (`+id+`) \|`), read(t, guide))
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			t.Errorf("%s has two rows %s", guide, id)
		}
	}
	return ids
}

type namingCase struct{ ID, Differs string }

func namingCases(t *testing.T, file string) []namingCase {
	t.Helper()
	var content struct{ Cases []namingCase }
	if err := json.Unmarshal([]byte(read(t, file)), &content); err != nil {
		t.Fatal(err)
	}
	return content.Cases
}

// semanticsCases returns the cases that package naming runs and that say where they differ from prometheus-adapter.
func semanticsCases(t *testing.T) []namingCase {
	t.Helper()
	return namingCases(t, "../pkg/naming/testdata/semantics-cases.json")
}

// TestCasesNameDifferencesThatAreListed looks the other way: what differs stands in the table.
func TestCasesNameDifferencesThatAreListed(t *testing.T) {
	t.Parallel()
	listed := differences(t, "migration/prometheus-adapter.md", `P\d+`)
	for _, c := range semanticsCases(t) {
		if c.Differs != "" && !slices.Contains(listed, c.Differs) {
			t.Errorf("case %s differs for a reason %s that the table does not list", c.ID, c.Differs)
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

// TestConformanceCasesAreThoseThatWereRecorded compares the ids of prometheus-adapter's recorded answers, which package
// naming runs, with those that are kept here, and these with the recording where that is at hand.
func TestConformanceCasesAreThoseThatWereRecorded(t *testing.T) {
	t.Parallel()
	ids := func(file string) []string {
		cases := namingCases(t, file)
		ids := make([]string, len(cases))
		for i, c := range cases {
			ids[i] = c.ID
		}
		slices.Sort(ids)
		if len(ids) == 0 || len(slices.Compact(slices.Clone(ids))) != len(ids) {
			t.Errorf("%s has %d ids, not all of them different", file, len(ids))
		}
		return ids
	}
	run := ids("../pkg/naming/testdata/prometheus-adapter-cases.json")
	kept := strings.Fields(read(t, "testdata/adapter-case-ids.txt"))
	if diff := cmp.Diff(kept, run); diff != "" {
		t.Errorf("cases that are run (-kept +run):\n%s", diff)
	}
	const recorded = "../../shared/conformance/prometheus-adapter-cases.json"
	if _, err := os.Stat(recorded); err == nil {
		if diff := cmp.Diff(ids(recorded), kept); diff != "" {
			t.Errorf("cases that are kept (-recorded +kept):\n%s", diff)
		}
	}
}

// TestFlagsExist looks for the flags that tables of the documentation are about.
func TestFlagsExist(t *testing.T) {
	t.Parallel()
	const app = "../cmd/metrics-gateway/app/"
	known := read(t, app+"testdata/help.txt")
	removed := read(t, app+"removed.go") // They are not in the help.
	cells := regexp.MustCompile("(?m)^\\| (`-[^|]*) \\|")
	flags := regexp.MustCompile("`--([a-z0-9-]+)`")
	count := 0
	for _, page := range []string{"configuration.md", "migration/metrics-server.md", "migration/prometheus-adapter.md"} {
		for _, cell := range cells.FindAllStringSubmatch(read(t, page), -1) {
			for _, flag := range flags.FindAllStringSubmatch(cell[1], -1) {
				count++
				if !strings.Contains(known, "--"+flag[1]+" ") && !strings.Contains(removed, `"`+flag[1]+`"`) {
					t.Errorf("%s has a flag --%s, which there is not", page, flag[1])
				}
			}
		}
	}
	if count < 50 {
		t.Errorf("found %d flags in tables, expected more", count)
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

// TestLinks follows the links between pages, to the heading.
func TestLinks(t *testing.T) {
	t.Parallel()
	code := regexp.MustCompile("(?s)```.*?```")
	links := regexp.MustCompile(`\]\(([^)#\s]*)(?:#([^)\s]+))?\)`)
	pages, err := filepath.Glob("*/*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, more...) {
		for _, link := range links.FindAllStringSubmatch(code.ReplaceAllString(read(t, page), ""), -1) {
			target, heading := link[1], link[2]
			if strings.Contains(target, "://") {
				continue
			}
			file := page
			if target != "" {
				file = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: link to %s: %v", page, target, err)
				continue
			}
			if heading != "" && !slices.Contains(headings(read(t, file)), heading) {
				t.Errorf("%s: %s has no heading #%s", page, file, heading)
			}
		}
	}
}

// headings returns the names under which a page's headings can be linked to.
func headings(page string) []string {
	names := submatches(regexp.MustCompile(`(?m)^#+ (.*)$`), page)
	for i, name := range names {
		names[i] = strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			default:
				return -1
			}
		}, name)
	}
	return names
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
