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
)

// Measurement is one number.
type Measurement struct {
	// Case is what was measured: a column of the table.
	Case string `json:"case"`
	// Name is what about it: a row.
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  Unit    `json:"unit,omitempty"`
	// Bar is what the value must be less than, if something.
	Bar *float64 `json:"bar,omitempty"`
}

// Missed tells whether the value is not under its bar.
func (m Measurement) Missed() bool { return m.Bar != nil && m.Value >= *m.Bar }

// Report is what a benchmark has measured. The zero value is empty.
type Report struct {
	Benchmark    string        `json:"benchmark"`
	Measurements []Measurement `json:"measurements"`
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
func (r *Report) Under(bar float64) { r.Measurements[len(r.Measurements)-1].Bar = &bar }

// Missed returns a sentence about each bar that was missed.
func (r *Report) Missed() []string {
	var out []string
	for _, m := range r.Measurements {
		if m.Missed() {
			out = append(out, fmt.Sprintf("%s, %s: %s, must be under %s", m.Case, m.Name, format(m.Value, m.Unit), format(*m.Bar, m.Unit)))
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
		if m.Bar != nil {
			verdict := "under"
			if m.Missed() {
				verdict = "**not under**"
			}
			cell += fmt.Sprintf(" (%s %s)", verdict, format(*m.Bar, m.Unit))
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
	case unit == Seconds && value < 1:
		return fmt.Sprintf("%.1f ms", value*1e3)
	case unit == Seconds:
		return fmt.Sprintf("%.2f s", value)
	case value == float64(int64(value)):
		return strconv.FormatInt(int64(value), 10)
	default:
		return fmt.Sprintf("%.1f", value)
	}
}
