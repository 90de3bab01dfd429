package chart

import (
	"encoding/json"
	"math"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
)

// Options gives c as the options of an ECharts chart, as go-echarts writes them. Bars and spans are series of type
// "custom", whose drawing the script of [Bundle] adds, since options that are data cannot hold functions; so are the
// formats of axes, which it finds under "banter".
func Options(c Chart) map[string]any {
	series := prepare(c.Series)
	x, y := scales(c, series)
	left := "16"
	if c.Y.Label != "" {
		left = "36"
	}
	widest := 0.0
	for _, t := range y.ticks {
		widest = math.Max(widest, textWidth(y.axis.write(t), 12))
	}
	top := "64"
	if named(c.Marks) {
		top = "76" // their names stand between the subtitle and the plot
	}
	base := charts.NewLine()
	base.SetGlobalOptions(
		charts.WithTitleOpts(opts.Title{Title: clean(c.Title, 200), Subtitle: clean(c.Subtitle, 200), Left: "8"}),
		charts.WithLegendOpts(opts.Legend{Show: opts.Bool(len(series) > 1), Top: "8", Right: "12"}),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: "item"}),
		charts.WithAnimation(false),
		charts.WithXAxisOpts(opts.XAxis{Type: axisType(x.axis), Name: clean(c.X.Label, maxLabel), NameLocation: "middle", NameGap: 28,
			Min: bound(x, x.from), Max: bound(x, x.to), Data: axisNames(c.X)}),
		charts.WithYAxisOpts(opts.YAxis{Type: axisType(y.axis), Name: clean(c.Y.Label, maxLabel), NameLocation: "middle", NameGap: int(widest) + 16,
			Min: bound(y, y.from), Max: bound(y, y.to), Data: axisNames(c.Y)}),
		charts.WithGridOpts(opts.Grid{Left: left, Right: "24", Top: top, Bottom: "36", ContainLabel: opts.Bool(true)}),
		charts.WithDataZoomOpts(opts.DataZoom{Type: "inside", XAxisIndex: 0}),
	)
	for _, k := range series {
		base.MultiSeries = append(base.MultiSeries, liveSeries(k, x.axis)...)
	}
	if marks := markLines(c.Marks); marks != nil && len(base.MultiSeries) > 0 {
		base.MultiSeries[0].MarkLines = marks
	}
	if names := axisNames(c.X); names != nil {
		base.SetXAxis(names)
	}
	base.Validate()
	options := base.JSON()
	options["banter"] = map[string]any{"x": axisHints(x), "y": axisHints(y), "dark": darkColors()}
	return options
}

// OptionsJSON writes Options as JSON that is safe inside a script element: <, > and & are escaped.
func OptionsJSON(c Chart) ([]byte, error) { return json.Marshal(Options(c)) }

func axisType(a Axis) string {
	switch {
	case len(a.Categories) > 0:
		return "category"
	case a.Log:
		return "log"
	}
	return "value"
}

// darkColors gives for each color of the light theme its place in the dark one.
func darkColors() map[string]string {
	colors := map[string]string{}
	for r := toneRole(Blue); r <= toneRole(Gray); r++ {
		colors[light[r]] = dark[r]
	}
	return colors
}

// axisHints says how an axis's numbers are written, how far apart its ticks are, and whether its ends are no ticks.
func axisHints(s *scale) map[string]any {
	hints := map[string]any{"unit": "number"}
	switch s.axis.Unit {
	case Clock:
		hints["unit"] = "clock"
	case Percent:
		hints["unit"] = "percent"
	}
	if n := len(s.ticks); n > 1 && !s.axis.Log && len(s.axis.Categories) == 0 {
		hints["step"] = s.ticks[1] - s.ticks[0]
		hints["loose"] = []bool{s.ticks[0]-s.from > 1e-9, s.to-s.ticks[n-1] > 1e-9}
	}
	return hints
}

func axisNames(a Axis) any {
	if len(a.Categories) == 0 {
		return nil
	}
	names := make([]string, len(a.Categories))
	for i, n := range a.Categories {
		names[i] = clean(n, maxLabel)
	}
	return names
}

// bound gives an end of a numeric axis.
func bound(s *scale, v float64) any {
	if len(s.axis.Categories) > 0 {
		return nil
	}
	return v
}

func markLines(marks []Mark) *opts.MarkLines {
	lines := &opts.MarkLines{MarkLineStyle: opts.MarkLineStyle{Symbol: []string{"none", "none"}}}
	for _, m := range marks[:min(len(marks), 60)] {
		if !finite(m.At) {
			continue
		}
		at := map[string]any{"name": clean(m.Label, maxLabel), "label": map[string]any{"formatter": "{b}"}}
		if m.Horizontal {
			at["yAxis"] = m.At
		} else {
			at["xAxis"] = m.At
		}
		tone := m.Tone
		if tone == Auto {
			tone = Red
		}
		at["lineStyle"] = map[string]any{"color": light[toneRole(tone)], "type": "dashed"}
		lines.Data = append(lines.Data, at)
	}
	if len(lines.Data) == 0 {
		return nil
	}
	return lines
}

// liveSeries gives the series that draw k: one, or three for a line with its band.
func liveSeries(k Series, x Axis) charts.MultiSeries {
	color := light[toneRole(k.Tone)]
	name := clean(k.Name, maxLabel)
	switch k.Kind {
	case Bars, Spans:
		var data []opts.CustomData
		for i := range k.X {
			left, right := k.X[i], k.X[i]+at(k.Span, i, 1)
			if len(x.Categories) > 0 {
				left, right = k.X[i], k.X[i]
			}
			low, high := at(k.Low, i, 0), k.Y[i]
			if k.Kind == Spans {
				low, high = k.Y[i], k.Y[i]
			}
			d := opts.CustomData{Value: []float64{left, right, low, high}}
			if i < len(k.Labels) {
				d.Name = clean(k.Labels[i], 200)
			}
			if i < len(k.Tones) && k.Tones[i] != Auto {
				d.ItemStyle = &opts.ItemStyle{Color: light[toneRole(k.Tones[i])]}
			}
			data = append(data, d)
		}
		return charts.MultiSeries{{Name: name, Type: "custom", Data: data, Encode: &opts.Encode{X: []int{0, 1}, Y: []int{2, 3}}, ItemStyle: &opts.ItemStyle{Color: color}}}
	case Points:
		var data []opts.ScatterData
		for i := range k.X {
			d := opts.ScatterData{Value: []float64{k.X[i], k.Y[i]}}
			if i < len(k.Labels) {
				d.Name = clean(k.Labels[i], 200)
			}
			data = append(data, d)
		}
		return charts.MultiSeries{{Name: name, Type: "scatter", Data: data, SymbolSize: 6, ItemStyle: &opts.ItemStyle{Color: color, Opacity: opts.Float(0.7)}}}
	}
	width, opacity := float32(2), 1.0
	if k.Tone == Gray {
		width, opacity = 1.2, 0.6
	}
	style := &opts.LineStyle{Color: color, Width: width, Opacity: opts.Float(float32(opacity))}
	switch k.Dash { // ECharts has names for two
	case Dashed, LongDashed:
		style.Type = "dashed"
	case Dotted, DashDotted, DashDotDotted:
		style.Type = "dotted"
	}
	line := charts.SingleSeries{Name: name, Type: "line", ShowSymbol: opts.Bool(len(k.X) <= 12), LineStyle: style, ItemStyle: &opts.ItemStyle{Color: color}, Data: pairs(k.X, k.Y)}
	if k.Kind == Steps {
		line.Step = "end"
	}
	if len(k.Low) != len(k.X) || len(k.High) != len(k.X) {
		return charts.MultiSeries{line}
	}
	interval := make([][3]float64, len(k.X))
	for i := range k.X {
		interval[i] = [3]float64{k.X[i], k.Low[i], k.High[i]}
	}
	band := charts.SingleSeries{Name: name + intervalSuffix, Type: "custom", Data: interval, Encode: &opts.Encode{X: 0, Y: []int{1, 2}},
		ItemStyle: &opts.ItemStyle{Color: color}, Step: line.Step}
	return charts.MultiSeries{band, line}
}

// intervalSuffix ends the names of series that are the interval around another.
const intervalSuffix = " interval"

func pairs(x, y []float64) [][2]float64 {
	out := make([][2]float64, len(x))
	for i := range x {
		out[i] = [2]float64{x[i], y[i]}
	}
	return out
}
