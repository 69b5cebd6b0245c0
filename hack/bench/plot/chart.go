package main

import (
	"errors"
	"fmt"
	"image/color"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// row is a row of the tables, and what tells it from others of the same chart.
type row struct{ name, label string }

// chart is one picture.
type chart struct {
	file, title, axis string
	rows              []row
	// scale makes what the axis says of what was measured: seconds, bytes and numbers.
	scale float64
}

// allCharts returns what is drawn by what something grows with.
func allCharts() map[string][]chart {
	const milli, mega = 1e3, 1e-6
	const closed, paced = "as fast as it goes: ", "every 15 s: "
	return map[string][]chart{
		"nodes": {
			{"kubelets-cpu.svg", "Reading kubelets", "CPU in a cycle of 15 s, seconds", []row{{name: "at rest: CPU in a cycle of 15 s"}}, 1},
			{"kubelets-memory.svg", "Memory", "resident memory, MB", []row{{name: "at rest: resident memory"}}, mega},
			{"kubelets-list.svg", "LIST of all pods, JSON", "p50, ms", []row{{name: "LIST all pods: p50"}}, milli},
		},
		"HPAs": {
			{"hpas-reads.svg", "Reads of HPAs, 5 at a time", "reads a second", []row{{name: closed + "reads a second"}}, 1},
			{"hpas-cpu.svg", "CPU of a read, 5 at a time: server, Prometheus and API server", "ms", []row{{name: closed + "CPU a read, all three"}}, milli},
			{"hpas-sync.svg", "CPU of a sync of all HPAs: server, Prometheus and API server", "seconds in 15 s", []row{
				{name: paced + "CPU in 15 s, all three"},
			}, 1},
			{"hpas-queries.svg", "Prometheus queries for a read", "queries", []row{
				{closed + "Prometheus queries a read", "as fast as it goes"}, {paced + "Prometheus queries a read", "every 15 s"},
			}, 1},
		},
		"series": {
			{"series-reads.svg", "Reads of 1,000 HPAs, 5 at a time", "reads a second", []row{{name: closed + "reads a second"}}, 1},
			{"series-cpu.svg", "CPU of a read of 1,000 HPAs, 5 at a time: server, Prometheus and API server", "ms", []row{
				{name: closed + "CPU a read, all three"},
			}, milli},
			{"series-sync.svg", "CPU of a sync of 1,000 HPAs: server, Prometheus and API server", "seconds in 15 s", []row{
				{name: paced + "CPU in 15 s, all three"},
			}, 1},
		},
	}
}

const (
	width, height = 16 * vg.Centimeter, 10 * vg.Centimeter
	lineWidth     = vg.Length(1.5)
	fontSize      = vg.Length(10)
)

// draw writes the chart to a file.
func (c chart) draw(runs []benchmark, by, path string) error {
	lines := c.lines(runs, by)
	if len(lines) == 0 {
		return errors.New("nothing of it was measured")
	}
	p := plot.New()
	p.Title.Text = c.title
	p.Title.TextStyle.Font.Size, p.Title.Padding = fontSize, vg.Millimeter
	for _, style := range []*draw.TextStyle{
		&p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle,
	} {
		style.Font.Size = fontSize
	}
	p.X.Label.Text, p.Y.Label.Text = by, c.axis
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.Y.Tick.Marker = ticks{}
	p.X.Tick.Marker = sizes(runs, by)
	p.Legend.Top = true
	p.Legend.Padding = vg.Millimeter
	p.Add(plotter.NewGrid())
	var cases []string
	for _, l := range lines {
		if !slices.Contains(cases, l.about) {
			cases = append(cases, l.about)
		}
	}
	for _, l := range lines {
		points := make(plotter.XYs, len(l.sizes))
		for i := range points {
			points[i] = plotter.XY{X: l.sizes[i], Y: l.values[i]}
		}
		drawn, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return err
		}
		drawn.Width = lineWidth
		drawn.Color = colorOf(slices.Index(cases, l.about))
		if len(c.rows) > 1 && l.row != c.rows[0].label {
			drawn.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
		}
		marks.Color, marks.Shape = drawn.Color, draw.CircleGlyph{}
		p.Add(drawn, marks)
		p.Legend.Add(strings.Trim(l.about+", "+l.row, ", "), drawn, marks)
	}
	// The legend stands above the lines.
	p.Y.Max *= 10
	return p.Save(width, height, path)
}

// colorOf returns colors that people who see fewer can tell apart.
func colorOf(i int) color.Color {
	colors := []color.RGBA{{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}}
	return colors[i%len(colors)]
}

// sizes marks the sizes that were measured.
func sizes(runs []benchmark, by string) plot.ConstantTicks {
	out := make(plot.ConstantTicks, len(runs))
	for i, run := range runs {
		out[i] = plot.Tick{Value: float64(run.Size[by]), Label: thousands(run.Size[by])}
	}
	return out
}

// thousands writes a number with commas.
func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// ticks are those of a logarithmic axis, with numbers as people write them.
type ticks struct{}

// Ticks implements plot.Ticker.
func (ticks) Ticks(least, most float64) []plot.Tick {
	out := plot.LogTicks{Prec: -1}.Ticks(least, most)
	for i := range out {
		if out[i].Label != "" {
			out[i].Label = strconv.FormatFloat(out[i].Value, 'f', -1, 64)
		}
	}
	return out
}
