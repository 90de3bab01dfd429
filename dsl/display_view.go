package dsl

import (
	"fmt"
	"html"
	"strings"
	"unicode"
	"unicode/utf8"

	"banter/stdlib/chart"
)

// view is what a value shows of itself: lines of text, charts and tables, one below the other.
type view struct {
	parts []part
}

// part is one of the three.
type part struct {
	text    string
	warning bool
	chart   *chart.Chart
	table   *grid
}

// grid is a small table in memory: what is shown of a larger one.
type grid struct {
	caption string
	columns []chart.Column
	rows    [][]chart.Cell
	total   int // rows of the larger one
}

func (v *view) say(format string, args ...any) {
	v.parts = append(v.parts, part{text: fmt.Sprintf(format, args...)})
}

func (v *view) warn(text string) { v.parts = append(v.parts, part{text: text, warning: true}) }

func (v *view) draw(charts ...chart.Chart) {
	for i := range charts {
		v.parts = append(v.parts, part{chart: &charts[i]})
	}
}

func (v *view) list(g grid) { v.parts = append(v.parts, part{table: &g}) }

// bounds of what one value shows
const (
	shownRows    = 50 // of a table
	shownStreams = 6  // with charts of their own
	tallRows     = 14 // of a table that scrolls
	plainRows    = 20 // of a table as text
	plainCell    = 48 // characters of a cell as text
	shownText    = 2000
)

// forms are the view by MIME type.
func (v *view) forms() map[string]any {
	var page, plain strings.Builder
	var first *chart.Chart
	for _, p := range v.parts {
		switch {
		case p.chart != nil:
			if first == nil {
				first = p.chart
				if s := attached(); s != nil {
					page.WriteString(s.bundled.charts(s.front))
				}
			}
			page.WriteString(chart.HTML(*p.chart))
			plain.WriteString(chart.Text(*p.chart) + "\n")
		case p.table != nil:
			style := "margin:8px 0"
			if len(p.table.rows) > tallRows {
				style += ";max-height:480px;overflow-y:auto"
			}
			fmt.Fprintf(&page, `<div style="%s">%s</div>`, style, p.table.html())
			plain.WriteString(p.table.plain())
		default:
			style := "margin:4px 8px"
			if p.warning {
				style += ";border-left:3px solid var(--jp-warn-color1,#d97706);padding-left:8px"
			}
			fmt.Fprintf(&page, `<p style="%s"><bdi>%s</bdi></p>`, style, html.EscapeString(inert(p.text, shownText)))
			plain.WriteString(inert(p.text, shownText) + "\n")
		}
	}
	forms := map[string]any{"text/html": page.String(), "text/plain": strings.TrimSuffix(plain.String(), "\n")}
	if first != nil {
		if png, err := chart.PNG(*first); err == nil { // one that cannot be drawn still shows as the other forms
			forms["image/png"] = png
		}
	}
	return forms
}

func (g *grid) html() string {
	return chart.Table{Caption: g.caption, Columns: g.columns, Rows: chart.Rows(g.rows...), Total: max(g.total, len(g.rows)), Limit: max(1, len(g.rows))}.HTML()
}

// plain writes the table with its columns under each other.
func (g *grid) plain() string {
	rows := g.rows[:min(len(g.rows), plainRows)]
	widths := make([]int, len(g.columns))
	cell := func(row []chart.Cell, i int) string {
		if i >= len(row) {
			return ""
		}
		text := row[i].Text
		if row[i].Detail != "" {
			text += " (" + row[i].Detail + ")"
		}
		return inert(text, plainCell)
	}
	for i, c := range g.columns {
		widths[i] = utf8.RuneCountInString(c.Name)
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell(row, i)))
		}
	}
	var b strings.Builder
	write := func(of func(i int) string) {
		var line strings.Builder
		for i, c := range g.columns {
			text := of(i)
			space := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(text)))
			if c.Right {
				line.WriteString(space + text)
			} else {
				line.WriteString(text + space)
			}
			line.WriteString("  ")
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	write(func(i int) string { return g.columns[i].Name })
	for _, row := range rows {
		write(func(i int) string { return cell(row, i) })
	}
	if n := max(g.total, len(g.rows)); n > len(rows) {
		fmt.Fprintf(&b, "… %d of %d rows\n", len(rows), n)
	}
	if g.caption != "" {
		b.WriteString(inert(g.caption, shownText) + "\n")
	}
	return b.String()
}

// inert makes text of unknown origin fit for one line of at most n characters: nothing in it steers a terminal or the
// order in which characters are shown.
func inert(s string, n int) string {
	var b strings.Builder
	count := 0
	for _, r := range s {
		if count == n {
			b.WriteRune('…')
			break
		}
		switch {
		case r == '\n' || r == '\r' || r == '\t' || r == '\u2028' || r == '\u2029':
			r = ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == '\ufeff':
			r = '\ufffd'
		}
		b.WriteRune(r)
		count++
	}
	return b.String()
}
