// Package report holds what a benchmark has measured: as a table for people, as JSON for programs, and with the bars
// that it must stay under.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Unit is what a value is measured in.
type Unit string

// The units. Values are seconds, bytes and numbers; a table shows them in a size that reads well.
const (
	Seconds Unit = "s"
	Bytes   Unit = "bytes"
	Count   Unit = ""
	// Times is how many times one value another one is.
	Times Unit = "times"
)

// Measurement is one number.
type Measurement struct {
	// Case is what was measured: a column of the table.
	Case string `json:"case"`
	// Name is what about it: a row.
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  Unit    `json:"unit,omitempty"`
	// Bar is what the value must be less than, if something; AtMost and AtLeast are bars that it may be at.
	Bar     *float64 `json:"bar,omitempty"`
	AtMost  *float64 `json:"atMost,omitempty"`
	AtLeast *float64 `json:"atLeast,omitempty"`
	// BarFrom says where the bar comes from, if that is not plain.
	BarFrom string `json:"barFrom,omitempty"`
}

// Missed tells whether the value is on the wrong side of a bar.
func (m Measurement) Missed() bool { _, _, missed := m.bar(); return missed }

// bar returns the bar with the words for it, if there is one, and whether it was missed.
func (m Measurement) bar() (words string, bar *float64, missed bool) {
	switch {
	case m.AtMost != nil:
		return "at most", m.AtMost, m.Value > *m.AtMost
	case m.AtLeast != nil:
		return "at least", m.AtLeast, m.Value < *m.AtLeast
	default:
		return "under", m.Bar, m.Bar != nil && m.Value >= *m.Bar
	}
}

// from says where the bar comes from, after the bar.
func (m Measurement) from() string {
	if m.BarFrom == "" {
		return ""
	}
	return ", " + m.BarFrom
}

// Report is what a benchmark has measured. The zero value is empty.
type Report struct {
	Benchmark string `json:"benchmark"`
	// Size is how much of what there was, such as nodes or HPAs.
	Size         map[string]int `json:"size,omitempty"`
	Measurements []Measurement  `json:"measurements"`
}

// Add adds a number.
func (r *Report) Add(about, name string, value float64, unit Unit) {
	r.Measurements = append(r.Measurements, Measurement{Case: about, Name: name, Value: value, Unit: unit})
}

// AddTime adds a duration.
func (r *Report) AddTime(about, name string, d time.Duration) {
	r.Add(about, name, d.Seconds(), Seconds)
}

// Under says that the number that was added last must be less than a bar.
func (r *Report) Under(bar float64) { r.last().Bar = &bar }

// AtMost says that the number that was added last must not be more than a bar.
func (r *Report) AtMost(bar float64) { r.last().AtMost = &bar }

// AtLeast says that the number that was added last must not be less than a bar.
func (r *Report) AtLeast(bar float64) { r.last().AtLeast = &bar }

func (r *Report) last() *Measurement { return &r.Measurements[len(r.Measurements)-1] }

// Find returns the number of a case and a name, which may then be changed. It is nil if there is none.
func (r *Report) Find(about, name string) *Measurement {
	i := slices.IndexFunc(r.Measurements, func(m Measurement) bool { return m.Case == about && m.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Measurements[i]
}

// Missed returns a sentence about each bar that was missed.
func (r *Report) Missed() []string {
	var out []string
	for _, m := range r.Measurements {
		if words, bar, missed := m.bar(); missed {
			out = append(out, fmt.Sprintf("%s, %s: %s, must be %s %s%s", m.Case, m.Name, format(m.Value, m.Unit), words, format(*bar, m.Unit), m.from()))
		}
	}
	return out
}

// WriteJSON writes the report as JSON.
func (r *Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// WriteTable writes the report as a Markdown table, with what was measured as columns. What is missing is a dash.
func (r *Report) WriteTable(w io.Writer) error {
	var cases, names []string
	cells := make(map[[2]string]string)
	for _, m := range r.Measurements {
		if !slices.Contains(cases, m.Case) {
			cases = append(cases, m.Case)
		}
		if !slices.Contains(names, m.Name) {
			names = append(names, m.Name)
		}
		cell := format(m.Value, m.Unit)
		if words, bar, missed := m.bar(); bar != nil {
			if missed {
				words = "**not " + words + "**"
			}
			cell += fmt.Sprintf(" (%s %s%s)", words, format(*bar, m.Unit), m.from())
		}
		cells[[2]string{m.Case, m.Name}] = cell
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| | %s |\n|%s\n", strings.Join(cases, " | "), strings.Repeat(" --- |", len(cases)+1))
	for _, name := range names {
		fmt.Fprintf(&b, "| %s |", name)
		for _, about := range cases {
			cell, ok := cells[[2]string{about, name}]
			if !ok {
				cell = "–"
			}
			fmt.Fprintf(&b, " %s |", cell)
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// format writes a value as people read it.
func format(value float64, unit Unit) string {
	switch {
	case unit == Bytes && value >= 1e6:
		return fmt.Sprintf("%.1f MB", value/1e6)
	case unit == Bytes:
		return fmt.Sprintf("%.1f kB", value/1e3)
	case unit == Seconds && value < 0.01:
		return fmt.Sprintf("%.2f ms", value*1e3)
	case unit == Seconds && value < 1:
		return fmt.Sprintf("%.1f ms", value*1e3)
	case unit == Seconds:
		return fmt.Sprintf("%.2f s", value)
	case unit == Times && value >= 1000:
		return fmt.Sprintf("%.0f x", value)
	case unit == Times:
		return fmt.Sprintf("%.3g x", value)
	case value == float64(int64(value)):
		return strconv.FormatInt(int64(value), 10)
	case value < 1:
		return fmt.Sprintf("%.2g", value)
	default:
		return fmt.Sprintf("%.1f", value)
	}
}
