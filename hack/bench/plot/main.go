// Command plot draws how what benchmarks have measured grows with the size of what they were run on. It is a module of its
// own, so that what draws is no dependency of the gateway.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const usage = `Usage: go run . --by=nodes|HPAs|series [--to=FOLDER] FILE...

Draws SVGs from files that "hack/bench kubelets --json=FILE" (nodes) and "hack/bench hpas --json=FILE" (HPAs, series) have written.
`

func main() {
	if err := run(os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(os.Stderr, "plot: %v\n", err)
		}
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("plot", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	by := flags.String("by", "", "")
	to := flags.String("to", ".", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	charts, ok := allCharts()[*by]
	if !ok {
		return fmt.Errorf("--by=%s: must be nodes, HPAs or series", *by)
	}
	runs := make([]benchmark, 0, flags.NArg())
	for _, path := range flags.Args() {
		b, err := read(path, *by)
		if err != nil {
			return err
		}
		runs = append(runs, b)
	}
	if len(runs) < 2 {
		return errors.New("two files at least are needed to show how something grows")
	}
	slices.SortFunc(runs, func(a, b benchmark) int { return a.Size[*by] - b.Size[*by] })
	for _, c := range charts {
		if err := c.draw(runs, *by, filepath.Join(*to, c.file)); err != nil {
			return fmt.Errorf("%s: %w", c.file, err)
		}
	}
	return nil
}

// benchmark is what one run has measured, as hack/bench writes it.
type benchmark struct {
	Size         map[string]int
	Measurements []struct {
		Case, Name string
		Value      float64
	}
}

// read reads a file, which must say how large what it is about was.
func read(path, by string) (benchmark, error) {
	var b benchmark
	text, err := os.ReadFile(path)
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal(text, &b); err != nil {
		return b, fmt.Errorf("%s: %w", path, err)
	}
	if b.Size[by] <= 0 {
		return b, fmt.Errorf("%s: it does not say how many %s there were", path, by)
	}
	return b, nil
}

// line is one line of a chart: a row of the tables, for one of the servers.
type line struct {
	about string
	row   string
	// sizes and values belong together.
	sizes, values []float64
}

// lines returns the lines of a chart. Cases are in the order in which they were measured. What was not measured has no
// point, nor has what was zero: there is none on a logarithmic axis.
func (c chart) lines(runs []benchmark, by string) []line {
	var out []line
	for _, row := range c.rows {
		for _, run := range runs {
			for _, m := range run.Measurements {
				if m.Name != row.name || m.Value <= 0 || isRatio(m.Case) {
					continue
				}
				i := slices.IndexFunc(out, func(l line) bool { return l.about == m.Case && l.row == row.label })
				if i < 0 {
					i = len(out)
					out = append(out, line{about: m.Case, row: row.label})
				}
				out[i].sizes = append(out[i].sizes, float64(run.Size[by]))
				out[i].values = append(out[i].values, m.Value*c.scale)
			}
		}
	}
	return out
}

// isRatio tells whether a column of the tables compares others.
func isRatio(about string) bool {
	return strings.HasPrefix(about, "better than ") || strings.Contains(about, " / ")
}
